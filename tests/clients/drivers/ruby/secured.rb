# Dalli, which says who it is by SASL, over TLS if asked: secured.rb PORT [CA]
begin
  require 'dalli'
rescue LoadError => e
  puts "missing: #{e.message}"
  exit
end
require 'openssl'
Dalli.logger.level = Logger::WARN

options = { username: 'anna', password: 'geheim', protocol: :binary, socket_timeout: 60 }
if ARGV[1]
  context = OpenSSL::SSL::SSLContext.new
  context.ca_file = ARGV[1]
  context.verify_mode = OpenSSL::SSL::VERIFY_PEER
  context.verify_hostname = true
  options[:ssl_context] = context
end
begin
  client = Dalli::Client.new("127.0.0.1:#{ARGV[0]}", options)
  raise 'not stored' unless client.set('jobs', 'x', 0, raw: true)
  raise 'not there' unless client.get('jobs') == 'x'
  puts "told: #{client.get('other').inspect}"
rescue StandardError => e
  puts "refused: #{e.class} #{e.message}"
end
