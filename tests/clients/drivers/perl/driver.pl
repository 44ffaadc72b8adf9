# The Perl clients: `driver.pl CLIENT PORT` speaks what tests/clients/driver.py says.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64;

my ($name, $port) = @ARGV;
my %modules = (
    'memcached'    => 'Cache::Memcached',
    'fast'         => 'Cache::Memcached::Fast',
    'fast-safe'    => 'Cache::Memcached::Fast::Safe',
    'libmemcached' => 'Cache::Memcached::libmemcached',
);
my %cannot = (
    'memcached'    => ['noreply', 'version'],
    'fast'         => ['noreply', 'queue_statistics', 'statistics'],
    'fast-safe'    => ['noreply', 'queue_statistics', 'statistics'],
    'libmemcached' => ['noreply', 'queue_statistics', 'statistics', 'version', 'flush_all'],
);
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
$| = 1;

my $module = $modules{$name};
eval "require $module" or do {
    my ($why) = split /\n/, $@;
    say_it({missing => "Perl: $why"});
    exit;
};
my $client = $module->new({servers => ["127.0.0.1:$port"]});
say_it({version => '' . $module->VERSION, cannot => $cannot{$name}, types => ['list', 'map']});
while (my $line = <STDIN>) {
    my $answer = eval { answer($json->decode($line)) };
    say_it(defined $answer ? $answer : {error => "$@"});
}

sub say_it { print $json->encode($_[0]), "\n" }

sub answer {
    my ($request) = @_;
    my $queue = $request->{queue};
    my $do = $request->{do};
    if ($do eq 'put') {
        my $value = $request->{value};
        $value = decode_base64($value) if $request->{as} eq 'bytes';
        utf8::encode($value) if $request->{as} eq 'text';
        my $ok = $client->set($queue, $value, $request->{ttl});
        return {ok => $ok ? JSON::PP::true : JSON::PP::false};
    }
    if ($do eq 'get') {
        my $value = $client->get($queue);
        if (defined $value) {
            $value = encode_base64($value, '') if $request->{as} eq 'bytes';
            utf8::decode($value) if $request->{as} eq 'text';
        }
        return {value => $value};
    }
    return {values => $client->get_multi(@{$request->{queues}})} if $do eq 'get_many';
    if ($do eq 'delete') {
        my $ok = $client->delete($queue);
        return {ok => $ok ? JSON::PP::true : JSON::PP::false};
    }
    if ($do eq 'stats') {
        my ($host) = values %{$client->stats('misc')->{hosts}};
        return {stats => $host->{misc}};
    }
    return {version => (values %{$client->server_versions})[0]} if $do eq 'version';
    my $ok = $client->flush_all;
    return {ok => $ok ? JSON::PP::true : JSON::PP::false};
}
