<?php
// The PHP clients: `driver.php CLIENT PORT` speaks what tests/clients/driver.py says.

const TYPES = ['text', 'integer', 'float', 'truth', 'list', 'map'];

/** The extension memcached, over libmemcached. */
class OfMemcached
{
    public array $cannot = ['noreply', 'queue_statistics']; // it drops statistics that it does not know
    public array $types = TYPES;
    private Memcached $client;

    public function __construct(int $port, bool $binary)
    {
        $this->client = new Memcached();
        $this->client->setOption(Memcached::OPT_BINARY_PROTOCOL, $binary);
        $this->client->addServer('127.0.0.1', $port);
    }

    public function put(string $queue, $value, int $ttl): bool
    {
        return $this->client->set($queue, $value, $ttl);
    }

    public function get(string $queue)
    {
        $value = $this->client->get($queue);
        return $this->client->getResultCode() === Memcached::RES_SUCCESS ? $value : null;
    }

    public function getMany(array $queues): array
    {
        return $this->client->getMulti($queues);
    }

    public function delete(string $queue): bool
    {
        return $this->client->delete($queue);
    }

    public function stats(): array
    {
        return current($this->client->getStats());
    }

    public function version(): string
    {
        return current($this->client->getVersion());
    }

    public function flushAll(): bool
    {
        return $this->client->flush();
    }
}

/** The extension memcache. */
class OfMemcache
{
    public array $cannot = ['noreply'];
    public array $types = TYPES;
    private Memcache $client;

    public function __construct(int $port)
    {
        $this->client = new Memcache();
        $this->client->addServer('127.0.0.1', $port);
    }

    public function put(string $queue, $value, int $ttl): bool
    {
        return $this->client->set($queue, $value, 0, $ttl);
    }

    public function get(string $queue)
    {
        $value = $this->client->get($queue);
        return $value === false ? null : $value;
    }

    public function getMany(array $queues): array
    {
        return $this->client->get($queues);
    }

    public function delete(string $queue): bool
    {
        return $this->client->delete($queue);
    }

    public function stats(): array
    {
        return $this->client->getStats();
    }

    public function version(): string
    {
        return $this->client->getVersion();
    }

    public function flushAll(): bool
    {
        return $this->client->flush();
    }
}

function answer($client, array $request): array
{
    $queue = $request['queue'] ?? '';
    switch ($request['do']) {
        case 'put':
            $value = $request['value'];
            if ($request['as'] === 'bytes') {
                $value = base64_decode($value);
            }
            return ['ok' => $client->put($queue, $value, $request['ttl'])];
        case 'get':
            $value = $client->get($queue);
            if ($value !== null && $request['as'] === 'bytes') {
                $value = base64_encode($value);
            }
            return ['value' => $value];
        case 'get_many':
            return ['values' => (object) $client->getMany($request['queues'])];
        case 'delete':
            return ['ok' => $client->delete($queue)];
        case 'stats':
            return ['stats' => $client->stats()];
        case 'version':
            return ['version' => $client->version()];
        default:
            return ['ok' => $client->flushAll()];
    }
}

function say(array $what): void
{
    echo json_encode($what, JSON_PRESERVE_ZERO_FRACTION), "\n";
}

[, $name, $port] = $argv;
$extension = $name === 'memcache' ? 'memcache' : 'memcached';
if (!extension_loaded($extension)) {
    say(['missing' => "PHP: the extension $extension is not loaded"]);
    exit;
}
$client = $name === 'memcache' ? new OfMemcache((int) $port) : new OfMemcached((int) $port, $name === 'memcached-binary');
say(['version' => phpversion($extension), 'cannot' => $client->cannot, 'types' => $client->types]);
while (($line = fgets(STDIN)) !== false) {
    try {
        say(answer($client, json_decode($line, true)));
    } catch (Throwable $error) {
        say(['error' => get_class($error) . ': ' . $error->getMessage()]);
    }
}
