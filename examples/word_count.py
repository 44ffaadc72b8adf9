"""Map and reduce over a file, as Starfish had it: many workers count the words of its lines.

    .venv/bin/python examples/word_count.py map
    .venv/bin/python examples/word_count.py map
    .venv/bin/python examples/word_count.py count FILE

``count`` puts every line into a queue, and adds up what the mappers make of them. Start and kill
(``kill -9``) as many mappers as you like: the result stays the same.

A mapper opens a line and closes it only when its result is stored, so a line whose mapper died
goes to another one. If it died just between the two, the line is mapped twice. So each result
carries its line's number, and a second one is not added. Each line says to which queue its result
goes, so several counts may be under way at once.
"""

import argparse
import json
import time
import uuid
from collections import Counter
from pathlib import Path

from pymemcache.client.base import Client

LINES = "lines"


def map_lines(client: Client, pause: float) -> None:
    """Map one line after another, for ever."""
    while True:
        # Closes the line before, if there was one, and opens the next.
        item = client.get(f"{LINES}/close/open/t=1000")
        if item is None:
            continue
        line = json.loads(item)
        time.sleep(pause)  # where it is real work
        words = Counter(line["text"].lower().split())
        result = {"number": line["number"], "words": words}
        if not client.set(line["reply_to"], json.dumps(result)):
            raise SystemExit("the result was not stored; the line goes to another mapper")
        print("mapped line", line["number"], flush=True)


def count(client: Client, path: Path, most: int) -> None:
    """Have the words of a file counted, and print the most frequent ones."""
    results = f"results.{uuid.uuid4().hex}"
    texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, text in enumerate(texts):
        item = json.dumps({"reply_to": results, "number": number, "text": text})
        if not client.set(LINES, item):
            raise SystemExit("a line was not stored")
    print(f"{len(texts)} lines", flush=True)
    totals, twice = reduce_results(client, results, len(texts))
    client.delete(results)
    print(f"{twice} lines were mapped twice")
    for word, times in sorted(totals.items(), key=lambda each: (-each[1], each[0]))[:most]:
        print(times, word)


def reduce_results(client: Client, results: str, lines: int) -> tuple[Counter[str], int]:
    """Add up one result for each line; return the sums, and how many results were superfluous."""
    totals: Counter[str] = Counter()
    seen: set[int] = set()
    twice = 0
    while len(seen) < lines:
        # A plain get: the sums are in this program only, so if it dies, the count begins anew.
        item = client.get(f"{results}/t=1000")
        if item is None:
            continue
        result = json.loads(item)
        if result["number"] in seen:
            twice += 1
        else:
            seen.add(result["number"])
            totals.update(result["words"])
    return totals, twice


def main() -> None:
    """Map, or count."""
    # In front of a command or behind it.
    where = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    where.add_argument("--host")
    where.add_argument("--port", type=int)
    parser = argparse.ArgumentParser(
        description="Count the words of a file with many workers.", parents=[where]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    mapping = commands.add_parser("map", parents=[where], help="map lines")
    mapping.add_argument("--pause", type=float, default=0, help="seconds that a line takes")
    counting = commands.add_parser(
        "count", parents=[where], help="have the words of a file counted"
    )
    counting.add_argument("file", type=Path)
    counting.add_argument("--most", type=int, default=10, help="how many words to print")
    options = parser.parse_args(namespace=argparse.Namespace(host="127.0.0.1", port=22122))

    client = Client((options.host, options.port), default_noreply=False, timeout=10)
    if options.command == "map":
        map_lines(client, options.pause)
    else:
        count(client, options.file, options.most)
    client.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(0) from None
    except OSError as problem:
        raise SystemExit(
            f"{problem.filename or 'no server'}: {problem.strerror or problem}"
        ) from None
