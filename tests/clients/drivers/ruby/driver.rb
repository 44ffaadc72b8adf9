# The Ruby clients: `driver.rb CLIENT PORT [CA]` speaks what tests/clients/driver.py says.
require "base64"
require "json"

TYPES = %w[text integer float truth list map]

# Dalli: values are marshalled, unless they are raw.
class DalliClient
  CANNOT = %w[noreply]

  def initialize(port, **options)
    require "dalli"
    require "logger"
    Dalli.logger = Logger.new($stderr) # by itself it speaks where the answers go
    options[:ssl_context] = tls(ARGV[2]) if ARGV[2]
    @client = Dalli::Client.new("127.0.0.1:#{port}", **options)
  end

  def tls(authority)
    require "openssl"
    OpenSSL::SSL::SSLContext.new.tap do |context|
      context.ca_file = authority
      context.verify_mode = OpenSSL::SSL::VERIFY_PEER
      context.verify_hostname = true
    end
  end

  def version_of_client = Dalli::VERSION
  def types = TYPES
  def put(queue, value, ttl) = @client.set(queue, value, ttl.zero? ? nil : ttl)
  def get(queue) = @client.get(queue)
  def get_many(queues) = @client.get_multi(*queues)
  def delete(queue) = @client.delete(queue)
  def stats = @client.stats.values.first
  def version = @client.version.values.first
  def flush_all = @client.flush.all?
end

# Dalli 4, which speaks the meta protocol if told to.
class DalliMetaClient < DalliClient
  def initialize(port) = super(port, protocol: :meta)
end

# memcache-client: marshalled too, and its answers are the server's lines.
class MemcacheClient
  CANNOT = %w[noreply]

  def initialize(port)
    require "memcache"
    @client = MemCache.new("127.0.0.1:#{port}")
  end

  def version_of_client = MemCache::VERSION
  def types = TYPES
  def put(queue, value, ttl) = @client.set(queue, value, ttl) == "STORED\r\n"
  def get(queue) = @client.get(queue)
  def get_many(queues) = @client.get_multi(*queues)
  def delete(queue) = @client.delete(queue) == "DELETED\r\n"
  def stats = @client.stats.values.first
  def version = stats["version"]

  def flush_all
    @client.flush_all
    true # otherwise it raises an error
  end
end

# The original Starling's own client: its get waits for ever, its delete does not say what came of it.
class StarlingClient < MemcacheClient
  CANNOT = %w[noreply delete_unknown]

  def initialize(port)
    require "starling"
    @client = Starling.new("127.0.0.1:#{port}")
  end

  def version_of_client = File.read("#{ENV.fetch("STARLING")}/starling.gemspec")[/version = "(.*)"/, 1]
  def get(queue) = @client.fetch(queue)

  def delete(queue)
    @client.delete(queue)
    true
  end
end

# remcached: strings only, in EventMachine's loop, which has a thread of its own here.
class RemcachedClient
  CANNOT = %w[noreply queue_statistics statistics version flush_all]

  def initialize(port)
    require "remcached"
    Thread.new { EventMachine.run }
    sleep 0.01 until EventMachine.reactor_running?
    call do |done|
      Memcached.servers = ["127.0.0.1:#{port}"]
      EventMachine.add_timer(0.3) { done.call(nil) } # it does not say when it has connected
    end
  end

  def version_of_client = Gem.loaded_specs["remcached"]&.version&.to_s || "0.4.1"
  def types = []
  def put(queue, value, ttl) = ok?(call { |done| Memcached.set(key: queue, value: value, expiration: ttl, &done) })
  def delete(queue) = ok?(call { |done| Memcached.delete(key: queue, &done) })

  def get(queue)
    reply = call { |done| Memcached.get(key: queue, &done) }
    reply[:value] if ok?(reply)
  end

  def get_many(queues)
    replies = call { |done| Memcached.multi_get(queues.map { |queue| { key: queue } }, &done) }
    replies.select { |_, reply| ok?(reply) }.transform_values { |reply| reply[:value] }
  end

  private

  def ok?(reply) = reply[:status] == Memcached::Errors::NO_ERROR

  def call
    answers = Queue.new
    EventMachine.schedule { yield ->(reply) { answers << reply } }
    answers.pop
  end
end

def answer(client, request)
  queue = request["queue"]
  case request["do"]
  when "put"
    value = request["value"]
    value = Base64.decode64(value) if request["as"] == "bytes"
    { ok: !!client.put(queue, value, request["ttl"]) }
  when "get"
    value = client.get(queue)
    value = Base64.strict_encode64(value) if value && request["as"] == "bytes"
    { value: value }
  when "get_many" then { values: client.get_many(request["queues"]) }
  when "delete" then { ok: !!client.delete(queue) }
  when "stats" then { stats: client.stats }
  when "version" then { version: client.version }
  else { ok: !!client.flush_all }
  end
end

def say(what)
  puts JSON.generate(what)
end

$stdout.sync = true
begin
  kind = {
    "dalli" => DalliClient, "dalli-meta" => DalliMetaClient, "memcache-client" => MemcacheClient,
    "starling" => StarlingClient, "remcached" => RemcachedClient
  }.fetch(ARGV[0])
  client = kind.new(Integer(ARGV[1]))
rescue LoadError => e
  say(missing: "Ruby: #{e.message}")
  exit
end
say(version: client.version_of_client, cannot: kind::CANNOT, types: client.types)
$stdin.each_line do |line|
  say(answer(client, JSON.parse(line)))
rescue StandardError => e
  say(error: "#{e.class}: #{e.message}")
end
