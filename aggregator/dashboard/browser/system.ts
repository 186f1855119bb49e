import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

/** Where the parts of the system under test listen. */
export interface System {
  ingestUrl: string;
  aggregatorUrl: string;
  mongoUrl: string;
  redisUrl: string;
  /** Of the aggregator as it was started first. */
  aggregatorPid: number;
}

const ROOT = resolve(import.meta.dirname, "../../..");
const READY = "Try it in another shell";
const READY_WITHIN_MS = 120_000;
const STOP_WITHIN_MS = 60_000;
const LISTENERS = [
  "REDIS",
  "MONGO",
  "INGEST",
  "AGGREGATOR",
  "INGEST_ADMIN",
  "PROCESSOR_ADMIN",
  "AGGREGATOR_ADMIN",
  "NGINX",
] as const;

/** Whether services ask who somebody is. */
export type Auth = "open" | "keys";

/** A script that puts a proxy in front, which both services are then reached through. */
const NGINX = process.env.EVP_NGINX;

const BINARY = process.env.EVP_DEVSTACK ?? join(ROOT, "target/debug/evp-devstack");

/** Starts what `make run` starts, from the debug build, on free ports and with data of its own. */
export async function startSystem(
  auth: Auth,
): Promise<{ system: System; stop: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "evp-browser-"));
  const ports = await freePorts();
  const publicUrl = NGINX ? `https://localhost:${ports.NGINX}` : null;
  const child = spawn(BINARY, ["run"], {
    env: {
      ...process.env,
      ...environment(ports),
      EVP_DATA_DIR: join(folder, "data"),
      AUTH: auth,
      ...(publicUrl && { EVP_PUBLIC_URL: publicUrl }),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let proxy: ChildProcess | null = null;
  const stop = async () => {
    if (proxy) await end(proxy);
    await end(child);
    rmSync(folder, { recursive: true, force: true });
  };
  let output: string;
  try {
    output = await ready(child);
    if (NGINX && publicUrl) {
      const env = { ...process.env, ...environment(ports) };
      proxy = spawn(NGINX, [join(folder, "nginx")], { env, stdio: "inherit" });
      await reachable(publicUrl);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const at = (listener: (typeof LISTENERS)[number]) => `127.0.0.1:${ports[listener]}`;
  const system = {
    ingestUrl: publicUrl ?? `http://${at("INGEST")}`,
    aggregatorUrl: publicUrl ?? `http://${at("AGGREGATOR")}`,
    mongoUrl: `mongodb://${at("MONGO")}/`,
    redisUrl: `redis://${at("REDIS")}`,
    aggregatorPid: Number(/^ +aggregator +(\d+)/m.exec(output)?.[1]),
  };
  return { system, stop };
}

/** What `evp-aggregator access` prints, as whoever runs this system. */
export function access(system: System, ...args: string[]): string {
  return execFileSync(join(dirname(BINARY), "evp-aggregator"), ["access", ...args], {
    encoding: "utf8",
    env: {
      ...process.env,
      REDIS_URL: system.redisUrl,
      MONGO_URI: system.mongoUrl,
      ...(NGINX
        ? { EVP__AGGREGATOR__PUBLIC_URL: system.aggregatorUrl }
        : { EVP__SERVER__LISTEN: new URL(system.aggregatorUrl).host }),
    },
  });
}

/** Waits until the proxy passes requests on. */
async function reachable(url: string): Promise<void> {
  const end = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const answer = await fetch(`${url}/livez`).catch(() => null);
    if (answer?.ok) return;
    if (Date.now() > end) throw new Error(`${url} does not answer`);
    await new Promise((fulfil) => setTimeout(fulfil, 100));
  }
}

/** Waits until everything runs; gives what was printed. */
function ready(child: ChildProcess): Promise<string> {
  let output = "";
  return new Promise((fulfil, reject) => {
    const fail = (why: string) => reject(new Error(`${why}:\n${output}`));
    const timer = setTimeout(() => fail("not ready in time"), READY_WITHIN_MS);
    const read = (text: Buffer) => {
      // Kept for the message; once it runs, only drained.
      if (output.includes(READY)) return;
      output += text.toString();
      if (output.includes(READY)) {
        clearTimeout(timer);
        fulfil(output);
      }
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.on("error", (error) => fail(String(error)));
    child.on("exit", (code) => fail(`ended with ${code}`));
  });
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((fulfil) => {
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
    child.once("exit", () => {
      clearTimeout(timer);
      fulfil();
    });
    child.kill("SIGTERM");
  });
}

type Ports = Record<(typeof LISTENERS)[number], number>;

function environment(ports: Ports): Record<string, string> {
  return Object.fromEntries(
    Object.entries(ports).map(([name, port]) => [`EVP_${name}_PORT`, String(port)]),
  );
}

/** All at once, so that no two are the same; below where outgoing connections get theirs. */
async function freePorts(): Promise<Ports> {
  const ephemeral = Number(
    readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s/)[0],
  );
  const ports: Partial<Ports> = {};
  const held = [];
  for (const name of LISTENERS) {
    let server: ReturnType<typeof createServer> | null = null;
    while (!server) server = await hold(20_000 + Math.floor(Math.random() * (ephemeral - 20_000)));
    held.push(server);
    const address = server.address();
    if (address && typeof address === "object") ports[name] = address.port;
  }
  await Promise.all(held.map((server) => new Promise((closed) => server.close(closed))));
  return ports as Ports;
}

function hold(port: number): Promise<ReturnType<typeof createServer> | null> {
  return new Promise((fulfil) => {
    const server = createServer();
    server.once("error", () => fulfil(null));
    server.listen(port, "127.0.0.1", () => fulfil(server));
  });
}
