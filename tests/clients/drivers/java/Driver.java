// The Java client: `Driver.java CLIENT PORT` speaks what tests/clients/driver.py says.

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import net.spy.memcached.BinaryConnectionFactory;
import net.spy.memcached.DefaultConnectionFactory;
import net.spy.memcached.MemcachedClient;

class Driver {
    private static final Gson GSON = new Gson();
    private final MemcachedClient client;

    Driver(boolean binary, int port) throws Exception {
        client = new MemcachedClient(
            binary ? new BinaryConnectionFactory() : new DefaultConnectionFactory(),
            List.of(new InetSocketAddress("127.0.0.1", port)));
    }

    private JsonObject answer(JsonObject request) throws Exception {
        String queue = request.has("queue") ? request.get("queue").getAsString() : "";
        String as = request.has("as") ? request.get("as").getAsString() : "";
        JsonObject answer = new JsonObject();
        switch (request.get("do").getAsString()) {
            case "put":
                Object value = outgoing(as, request.get("value"));
                answer.addProperty("ok", client.set(queue, request.get("ttl").getAsInt(), value).get());
                break;
            case "get":
                Object item = client.get(queue);
                if (item != null && as.equals("bytes")) {
                    item = Base64.getEncoder().encodeToString((byte[]) item);
                }
                answer.add("value", GSON.toJsonTree(item));
                break;
            case "get_many":
                List<String> queues = new ArrayList<>();
                request.getAsJsonArray("queues").forEach(name -> queues.add(name.getAsString()));
                answer.add("values", GSON.toJsonTree(client.getBulk(queues)));
                break;
            case "delete":
                answer.addProperty("ok", client.delete(queue).get());
                break;
            case "stats":
                answer.add("stats", GSON.toJsonTree(client.getStats().values().iterator().next()));
                break;
            case "version":
                answer.addProperty("version", client.getVersions().values().iterator().next());
                break;
            default:
                answer.addProperty("ok", client.flush().get());
        }
        return answer;
    }

    /** Return the value with the type that it has in Java. */
    private static Object outgoing(String as, JsonElement value) {
        if (as.equals("bytes")) {
            return Base64.getDecoder().decode(value.getAsString());
        }
        if (value.isJsonArray() || value.isJsonObject()) {
            return GSON.fromJson(value, value.isJsonArray() ? ArrayList.class : Map.class);
        }
        JsonPrimitive single = value.getAsJsonPrimitive();
        if (single.isBoolean()) {
            return single.getAsBoolean();
        }
        if (single.isNumber()) {
            boolean whole = single.getAsString().matches("-?\\d+");
            return whole ? (Object) single.getAsInt() : (Object) single.getAsDouble();
        }
        return single.getAsString();
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        // It would log to standard output.
        System.setProperty("net.spy.log.LoggerImpl", "net.spy.memcached.compat.log.SunLogger");
        System.setOut(System.err);
        Driver driver = new Driver(arguments[0].equals("binary"), Integer.parseInt(arguments[1]));
        JsonObject hello = new JsonObject();
        hello.addProperty("version", ""); // it does not know
        hello.add("types", GSON.toJsonTree(List.of("text", "integer", "float", "truth")));
        hello.add("cannot", GSON.toJsonTree(List.of("noreply")));
        out.println(GSON.toJson(hello));
        BufferedReader lines = new BufferedReader(
            new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Gson withNull = new Gson().newBuilder().serializeNulls().create();
        for (String line; (line = lines.readLine()) != null;) {
            JsonObject answer;
            try {
                answer = driver.answer(GSON.fromJson(line, JsonObject.class));
            } catch (Exception error) {
                answer = new JsonObject();
                answer.addProperty("error", error.toString());
            }
            out.println(withNull.toJson(answer));
        }
        System.exit(0);
    }
}
