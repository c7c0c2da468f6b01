"""What somebody on the network can try without belonging to a cluster: certificates of others, connections that say nothing, too much, or too slowly."""

import os
import socket
import ssl
import subprocess
import time

CNF = """[ca]
default_ca = own
[own]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = names
[names]
"""


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


class Forger:
    """Certificates from an authority of one's own, or, where `authority` names a state folder, with the cluster's own key."""

    def __init__(self, folder, authority=None):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.config = os.path.join(folder, "openssl.cnf")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CNF.format(folder=folder))
        with open(os.path.join(folder, "index.txt"), "w", encoding="utf-8"):
            pass
        if authority:
            self.ca, self.ca_key = os.path.join(authority, "ca", "ca.pem"), os.path.join(authority, "ca", "ca.key")
        else:
            self.ca, self.ca_key = os.path.join(folder, "ca.pem"), os.path.join(folder, "ca.key")
            self.self_signed("ca", "Tessera cluster test", "basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign")

    def self_signed(self, file, name, *extensions):
        """Certificate and key as (file.pem, file.key)."""
        paths = os.path.join(self.folder, f"{file}.pem"), os.path.join(self.folder, f"{file}.key")
        more = [word for extension in extensions for word in ("-addext", extension)]
        openssl("req", "-x509", "-config", self.config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                "-subj", f"/CN={name}", "-out", paths[0], "-keyout", paths[1], *more)
        os.chmod(paths[1], 0o600)
        return paths

    def issue(self, role, name, start="20200101000000Z", end="20400101000000Z"):
        """As the coordinator would: common name `role:name`."""
        base = os.path.join(self.folder, f"{role}-{name}-{end[:4]}")
        openssl("req", "-new", "-config", self.config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={role}:{name}", "-addext", f"subjectAltName=DNS:{name}.{role}.tessera", "-out", base + ".csr", "-keyout", base + ".key")
        openssl("ca", "-batch", "-notext", "-config", self.config, "-cert", self.ca, "-keyfile", self.ca_key, "-startdate", start, "-enddate", end,
                "-in", base + ".csr", "-out", base + ".pem")
        os.chmod(base + ".key", 0o600)
        return base + ".pem", base + ".key"


def shake_hands(port, certificate=None, key=None):
    """Talks TLS to a listener without looking at who it is; what the listener makes of it: "closed", the alert's name, or "open" if it
    still waits for more after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        try:
            with context.wrap_socket(raw) as secured:
                # With TLS 1.3 a client is done before the server has seen its certificate.
                secured.settimeout(2)
                return "closed" if secured.recv(1) == b"" else "spoke"
        except (TimeoutError, socket.timeout):
            return "open"
        except ssl.SSLError as error:
            return error.reason or str(error)
        except ConnectionError:
            return "closed"


def until_closed(connection, limit_s):
    """Seconds until the other side closed it; fails after the limit."""
    start = time.monotonic()
    connection.settimeout(limit_s)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - start


def drip(connection, data, limit_s):
    """Sends one byte a second; seconds until the other side closed it."""
    start = time.monotonic()
    connection.settimeout(1)
    position = 0
    while time.monotonic() - start < limit_s:
        try:
            connection.send(data[position:position + 1])
            position += 1
            while connection.recv(4096):
                pass
            return time.monotonic() - start
        except (TimeoutError, socket.timeout):
            continue
        except ConnectionError:
            return time.monotonic() - start
    raise AssertionError(f"still open after {limit_s} s")


class Flood:
    """As many connections as it can, from one address, held until the end."""

    def __init__(self, port, count, source="127.0.0.1", data=b""):
        self.port, self.count, self.source, self.data = port, count, source, data
        self.held = []

    def run(self):
        for _ in range(self.count):
            connection = socket.socket()
            connection.settimeout(10)
            try:
                connection.bind((self.source, 0))
                connection.connect(("127.0.0.1", self.port))
                if self.data:
                    connection.send(self.data)
            except OSError:
                connection.close()
                continue
            self.held.append(connection)
        return self

    def close(self):
        for connection in self.held:
            connection.close()
        self.held = []


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
