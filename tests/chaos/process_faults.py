"""Faults of processes: what dies, freezes, joins, leaves. Each takes the world and a generator of random numbers, sets marks where what it does begins
to disturb, and ends with every configured worker serving again."""

import os
import signal
import subprocess
import time

from binary import BINARY
from cluster import free_ports


def some_worker(world, rng, but=()):
    """A member that does not conduct."""
    conductor = world.conductor()
    return rng.choice([name for name in world.members() if name != conductor and name not in but])


def start_again(world):
    """The killed ones come back: for the streams that is a join."""
    world.mark("join (started again)")
    world.start()
    world.settle()


def join_and_drain(world, rng):
    world.mark("join")
    name = world.join()
    world.settle()
    world.mark("drain")
    world.cluster.command("drain", name)
    world.wait_members(world.workers)
    world.wait_tokens()
    world.leave(name)


def drain_worker(world, rng, conducts=False):
    name = world.conductor() if conducts else some_worker(world, rng)
    world.mark("drain of the conductor's node" if conducts else "drain")
    world.cluster.command("drain", name)
    world.wait_members([each for each in world.workers if each != name])
    world.wait_tokens()
    world.leave(name)
    start_again(world)


def drain_conductor(world, rng):
    drain_worker(world, rng, conducts=True)


def kill_worker(world, rng, conducts=False):
    name = world.conductor() if conducts else some_worker(world, rng)
    world.mark("kill -9 of the conductor's node" if conducts else "kill -9 of a worker")
    world.kill(name)
    world.wait_members([each for each in world.workers if each != name])
    world.wait_tokens()
    start_again(world)


def kill_conductor(world, rng):
    kill_worker(world, rng, conducts=True)


def kill_two(world, rng):
    dying = rng.sample(world.members(), 2)
    world.mark("kill -9 of two at once")
    for name in dying:
        world.signal(name, signal.SIGKILL)
    world.wait_members([each for each in world.workers if each not in dying])
    world.wait_tokens()
    start_again(world)


def kill_during_replan(world, rng):
    """A worker joins; as soon as its epoch is planned, another one is killed."""
    dying = rng.choice(world.members())
    world.mark("kill -9 during a re-plan")
    name = world.join()
    world.watch("the join is planned", lambda status, one: one["pending"] is not None or name in str(one["serving"]))
    time.sleep(rng.uniform(0, 0.03))
    world.kill(dying)
    world.wait_members([each for each in world.workers if each != dying] + [name])
    world.wait_tokens()
    world.mark("drain")
    world.cluster.command("drain", name)
    world.wait_members([each for each in world.workers if each != dying])
    world.leave(name)
    start_again(world)


def kill_during_recovery(world, rng):
    """A second one dies while the first one's loss is being recovered from: a recovery takes some ten milliseconds."""
    first, second = rng.sample(world.members(), 2)
    world.mark("kill -9 during another recovery")
    world.signal(first, signal.SIGKILL)
    time.sleep(rng.uniform(0.005, 0.12))
    world.signal(second, signal.SIGKILL)
    world.wait_members([each for each in world.workers if each not in (first, second)])
    world.wait_tokens()
    start_again(world)


def stand_still(world, name, meanwhile=lambda: None):
    """Stops it, for freeze_s at least; the others go on, and it is fenced and rejoins when it goes on."""
    world.signal(name, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        meanwhile()
        world.wait_members([each for each in world.workers if each != name])
        world.wait_tokens()
        time.sleep(max(0, stopped + world.freeze_s - time.monotonic()))
        world.mark("SIGCONT: it is fenced and rejoins")
    finally:
        world.signal(name, signal.SIGCONT)
    world.settle()


def freeze_worker(world, rng, conducts=False):
    name = world.conductor() if conducts else some_worker(world, rng)
    world.mark("SIGSTOP of the conductor's node" if conducts else "SIGSTOP of a worker")
    stand_still(world, name)


def freeze_conductor(world, rng):
    freeze_worker(world, rng, conducts=True)


def slow_worker(world, rng):
    """It stands still half of the time, too shortly to count as lost."""
    name = rng.choice(world.members())
    world.mark("slow worker (stopped half of the time)")
    for _ in range(30):
        world.signal(name, signal.SIGSTOP)
        time.sleep(rng.uniform(0.02, 0.15))
        world.signal(name, signal.SIGCONT)
        time.sleep(rng.uniform(0.02, 0.15))
    world.settle()


def kill_coordinator(world, rng):
    world.mark("coordinator killed and started again")
    world.kill("c")
    world.wait_tokens(begun=True)  # without it
    time.sleep(rng.uniform(0, 1))
    world.start()
    world.settle()


def kill_coordinator_and_worker(world, rng):
    """What dies while nobody can plan is planned for afterwards."""
    dying = rng.choice(world.members())
    world.mark("coordinator and a worker killed at once")
    world.signal("c", signal.SIGKILL)
    world.kill(dying)
    world.start()
    world.settle()


def freeze_coordinator(world, rng):
    """Nobody is lost by its silence; it loses nobody when it wakes up."""
    epoch = world.deployment()["serving"]["epoch"]
    world.mark("SIGSTOP of the coordinator")
    world.signal("c", signal.SIGSTOP)
    try:
        world.wait_tokens(begun=True)
        time.sleep(rng.uniform(1, 5))
    finally:
        world.signal("c", signal.SIGCONT)
    world.settle()
    assert world.deployment()["serving"]["epoch"] >= epoch


def second_coordinator(world, rng):
    """Another one on the same store, at other ports: the store's term deposes the first. Then the first is started again, and deposes the second."""
    config = os.path.join(world.folder, "second.toml")
    rpc, join = free_ports(2)
    with open(world.cluster.config, encoding="utf-8") as file:
        lines = [f"rpc_port = {rpc}\n" if line.startswith("rpc_port") else f"join_port = {join}\n" if line.startswith("join_port") else line for line in file]
    with open(config, "w", encoding="utf-8") as file:
        file.writelines(lines)
    first = world.pid("c")
    term = world.cluster.status()["term"]
    world.mark("second coordinator on one store")
    with subprocess.Popen([BINARY, "node", "--config", config, "--name", "c"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as second:
        try:
            world.gone(first)  # deposed
            world.wait_tokens(begun=True)
            world.start()
            world.settle()
            assert world.cluster.status()["term"] >= term + 2
            second.wait(timeout=60)  # deposed as well
        finally:
            second.kill()


def no_worker(world, rng):
    """Requests wait, and go on when one joins."""
    world.load.outage = True
    for name in world.members():
        world.signal(name, signal.SIGKILL)
    world.mark("no worker for a while")
    world.watch("nobody serves", lambda status, one: one["state"] != "serving")
    world.refused_in_time()
    time.sleep(rng.uniform(0, 6))
    world.mark("the first worker after none (from `up`)")
    world.start()
    world.settle()
    world.load.outage = False


FAULTS = {
    "join": join_and_drain,
    "drain": drain_worker,
    "drain-conductor": drain_conductor,
    "kill": kill_worker,
    "kill-conductor": kill_conductor,
    "kill-two": kill_two,
    "kill-replan": kill_during_replan,
    "kill-recovery": kill_during_recovery,
    "freeze": freeze_worker,
    "freeze-conductor": freeze_conductor,
    "slow": slow_worker,
    "coordinator": kill_coordinator,
    "coordinator-worker": kill_coordinator_and_worker,
    "coordinator-freeze": freeze_coordinator,
    "coordinator-twice": second_coordinator,
    "no-worker": no_worker,
}
