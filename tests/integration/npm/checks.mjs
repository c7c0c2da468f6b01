// Runs checks by name against a server: `node FILE.mjs '{"url": …, …}'`. One line of JSON for each; the exit code says whether all passed.
const facts = JSON.parse(process.argv[2]);

/** Polls the server's metrics until one has the value. */
export async function metric(name, value) {
  for (;;) {
    const text = await (await fetch(`${facts.url}/metrics`)).text();
    const line = text.split("\n").find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    if (line !== undefined && Number(line.split(" ").at(-1)) === value) return;
    await new Promise((done) => setTimeout(done, 50));
  }
}

export async function run(checks) {
  for (const [name, check] of Object.entries(checks)) {
    let error = null;
    try {
      await check(facts);
    } catch (failure) {
      error = failure.stack ?? String(failure);
      process.exitCode = 1;
    }
    console.log(JSON.stringify({ check: name, error }));
  }
}
