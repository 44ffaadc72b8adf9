// The Go client: `driver gomemcache PORT` speaks what tests/clients/driver.py says.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
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

func main() {
	client := memcache.New("127.0.0.1:" + os.Args[2])
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
