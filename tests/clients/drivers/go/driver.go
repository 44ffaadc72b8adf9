// The Go client: `driver gomemcache PORT [CA]` speaks what tests/clients/driver.py says.
//
// This old version of the client opens its connections by itself, so for TLS it is given a port of
// this process, from which Go's TLS goes on to the server.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"os"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

type request struct {
	Do     string
	Queue  string
	Queues []string
	As     string
	Value  string
	TTL    int32
}

type reply map[string]interface{}

func unless(refusal, err error) (bool, error) {
	if err == refusal {
		return false, nil
	}
	return err == nil, err
}

func answer(client *memcache.Client, asked request) (reply, error) {
	switch asked.Do {
	case "put":
		value := []byte(asked.Value)
		if asked.As == "bytes" {
			value, _ = base64.StdEncoding.DecodeString(asked.Value)
		}
		item := &memcache.Item{Key: asked.Queue, Value: value, Expiration: asked.TTL}
		ok, err := unless(memcache.ErrNotStored, client.Set(item))
		return reply{"ok": ok}, err
	case "get":
		item, err := client.Get(asked.Queue)
		if there, err := unless(memcache.ErrCacheMiss, err); !there {
			return reply{"value": nil}, err
		}
		if asked.As == "bytes" {
			return reply{"value": base64.StdEncoding.EncodeToString(item.Value)}, nil
		}
		return reply{"value": string(item.Value)}, nil
	case "get_many":
		items, err := client.GetMulti(asked.Queues)
		values := map[string]string{}
		for key, item := range items {
			values[key] = string(item.Value)
		}
		return reply{"values": values}, err
	case "flush_all":
		return reply{"ok": true}, client.FlushAll()
	default:
		ok, err := unless(memcache.ErrCacheMiss, client.Delete(asked.Queue))
		return reply{"ok": ok}, err
	}
}

func pump(from, to net.Conn) {
	io.Copy(to, from)
	to.Close()
}

// secured returns an address here whose connections go on to the server over TLS.
func secured(server, authority string) (string, error) {
	pem, err := os.ReadFile(authority)
	if err != nil {
		return "", err
	}
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(pem)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			conn, err := tls.Dial("tcp", server, &tls.Config{RootCAs: known})
			if err != nil {
				io.WriteString(os.Stderr, err.Error()+"\n")
				client.Close()
				continue
			}
			go pump(client, conn)
			go pump(conn, client)
		}
	}()
	return listener.Addr().String(), nil
}

func main() {
	server := "127.0.0.1:" + os.Args[2]
	if len(os.Args) > 3 {
		address, err := secured(server, os.Args[3])
		if err != nil {
			panic(err)
		}
		server = address
	}
	client := memcache.New(server)
	client.Timeout = 3 * time.Second // a tenth of a second by itself
	say := json.NewEncoder(os.Stdout)
	say.Encode(reply{
		"version": "", // it does not know
		"types":   []string{},
		"cannot":  []string{"noreply", "queue_statistics", "statistics", "version"},
	})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var asked request
		err := json.Unmarshal(lines.Bytes(), &asked)
		var said reply
		if err == nil {
			said, err = answer(client, asked)
		}
		if err != nil {
			said = reply{"error": err.Error()}
		}
		say.Encode(said)
	}
}
