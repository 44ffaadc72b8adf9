// The Node clients: `driver.js CLIENT PORT` speaks what tests/clients/driver.py says.
"use strict";

const { promisify } = require("node:util");
const readline = require("node:readline");

const TYPES = ["text", "integer", "float", "truth", "list", "map"];

const CLIENTS = {
  memcached: {
    // It escapes line ends in texts and takes bytes for UTF-8.
    cannot: ["all_bytes", "noreply"],
    types: TYPES,
    make(library, server) {
      const client = new library(server);
      const call = (name) => promisify(client[name].bind(client));
      return {
        put: (queue, value, ttl) => call("set")(queue, value, ttl),
        get: (queue) => call("get")(queue),
        getMany: (queues) => call("getMulti")(queues),
        delete: (queue) => call("del")(queue),
        stats: async () => (await call("stats")())[0],
        version: async () => (await call("version")())[0].version,
        flushAll: async () => (await call("flush")())[0],
      };
    },
  },
  memjs: {
    cannot: ["several_queues", "noreply"],
    types: [],
    make(library, server, options = { timeout: 5 }) {
      const client = library.Client.create(server, options); // half a second by itself
      return {
        put: (queue, value, ttl) => client.set(queue, value, { expires: ttl }),
        get: async (queue) => (await client.get(queue)).value,
        delete: (queue) => client.delete(queue),
        stats: () =>
          new Promise((done, fail) => client.stats((e, _, stats) => (e ? fail(e) : done(stats)))),
        version: async function () {
          return (await this.stats()).version;
        },
        flushAll: () => client.flush(),
      };
    },
  },
  "memcache-plus": {
    // It looks for line ends in values, and ends the process when it finds one.
    cannot: ["all_bytes", "noreply", "longest_name", "queue_statistics", "statistics"],
    types: TYPES,
    make(library, server) {
      const client = new library(server);
      return {
        put: (queue, value, ttl) => client.set(queue, value, ttl),
        get: (queue) => client.get(queue),
        getMany: (queues) => client.getMulti(queues),
        delete: (queue) => client.delete(queue),
        version: () => client.version(),
        flushAll: () => client.flush(),
      };
    },
  },
  "memcache-client": {
    cannot: [],
    types: ["text", "integer", "float", "list", "map"],
    make({ MemcacheClient }, server) {
      const client = new MemcacheClient({ server });
      return {
        put: async (queue, value, ttl, noreply) => {
          const options = { lifetime: ttl, ...(noreply && { noreply }) }; // 60 seconds by itself
          const reply = await client.set(queue, value, options);
          return noreply || reply[0] === "STORED";
        },
        putPlainly: async (queue, value) => (await client.set(queue, value))[0] === "STORED",
        get: async (queue) => (await client.get(queue))?.value,
        getMany: async (queues) => {
          const items = Object.entries(await client.get(queues));
          return Object.fromEntries(items.map(([queue, item]) => [queue, item.value]));
        },
        delete: (queue) => unlessNotFound(client.delete(queue)),
        stats: async () => Object.fromEntries((await client.cmd("stats")).STAT),
        version: async () => (await client.version())[1],
        flushAll: () => client.cmd("flush_all"),
      };
    },
  },
  memcache: {
    cannot: ["all_bytes", "noreply"], // it knows texts only
    types: [],
    make({ Memcache }, server) {
      const client = new Memcache(server);
      return {
        put: (queue, value, ttl) => client.set(queue, value, ttl),
        get: (queue) => client.get(queue),
        getMany: async (queues) => Object.fromEntries(await client.gets(queues)),
        delete: (queue) => client.delete(queue),
        stats: async () => (await client.stats()).values().next().value,
        version: async () => (await client.version()).values().next().value.split(" ")[1],
        flushAll: () => client.flush(),
      };
    },
  },
  mc: {
    cannot: ["all_bytes", "noreply", "flush_all"], // its adapters know texts and JSON
    types: [],
    async make(library, server) {
      const client = new library.Client(server, library.Adapter.string);
      await promisify(client.connect.bind(client))();
      const call = (name) => promisify(client[name].bind(client));
      const items = (keys) =>
        call("get")(keys).catch((error) => {
          if (error.type === "NOT_FOUND") return {};
          throw error;
        });
      return {
        put: (queue, value, ttl) => call("set")(queue, value, { exptime: ttl }),
        get: async (queue) => (await items(queue))[queue],
        getMany: (queues) => items(queues),
        delete: (queue) => unlessNotFound(call("del")(queue)),
        stats: async () => (await call("stats")())[0],
        version: async () => (await call("version")())[0],
      };
    },
  },
};

// The same client, set up in another way.
CLIENTS["memjs-defaults"] = {
  ...CLIENTS.memjs,
  package: "memjs",
  make: (library, server) => CLIENTS.memjs.make(library, server, {}),
};
CLIENTS["memjs-once"] = {
  ...CLIENTS.memjs,
  package: "memjs",
  make: (library, server) => CLIENTS.memjs.make(library, server, { timeout: 5, retries: 0 }),
};

async function unlessNotFound(promise) {
  try {
    await promise;
    return true;
  } catch (error) {
    if (/NOT_FOUND/.test(`${error.type} ${error.message}`)) return false;
    throw error;
  }
}

async function answer(client, { do: what, queue, as, value, ttl, noreply, queues }) {
  switch (what) {
    case "put":
      if (as === "bytes") value = Buffer.from(value, "base64");
      return { ok: (await client.put(queue, value, ttl, noreply)) !== false };
    case "get": {
      const item = await client.get(queue);
      return { value: item === undefined || item === null ? null : incoming(as, item) };
    }
    case "get_many": {
      const items = Object.entries((await client.getMany(queues)) ?? {});
      const there = items.filter(([, item]) => item !== null && item !== undefined);
      return { values: Object.fromEntries(there.map(([key, item]) => [key, incoming("text", item)])) };
    }
    case "delete":
      return { ok: await client.delete(queue) };
    case "stats": {
      const stats = Object.entries(await client.stats());
      return { stats: Object.fromEntries(stats.map(([name, text]) => [name, String(text)])) };
    }
    case "put_plainly":
      return { ok: await client.putPlainly(queue, value) };
    case "version":
      return { version: String(await client.version()) };
    default:
      return { ok: (await client.flushAll()) !== false };
  }
}

function incoming(as, item) {
  if (as === "bytes") return Buffer.from(item).toString("base64");
  return as === "text" ? item.toString() : item;
}

function say(what) {
  process.stdout.write(JSON.stringify(what) + "\n");
}

async function main([name, port]) {
  const { cannot, types, make, package: packageName = name } = CLIENTS[name];
  let library, version;
  try {
    library = require(packageName);
    version = require(`./node_modules/${packageName}/package.json`).version;
  } catch (error) {
    say({ missing: `Node: ${error.message.split("\n")[0]}` });
    return;
  }
  const client = await make(library, `127.0.0.1:${port}`);
  say({ version, cannot, types });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      say(await answer(client, JSON.parse(line)));
    } catch (error) {
      say({ error: String(error?.message ?? JSON.stringify(error)) });
    }
  }
  process.exit();
}

main(process.argv.slice(2));
