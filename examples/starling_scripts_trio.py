"""Scripts that were written for Ruby's Starling class, in Python with trio.

    .venv/bin/python examples/starling_scripts_trio.py

What were two programs, a producer and a consumer, are two tasks of one here; each has a client of
its own, as a client does one thing at a time.
"""

import argparse

import trio

from starling_py.client import AsyncStarling, StarlingError


async def hello(starling: AsyncStarling) -> None:
    """Send a greeting through a queue."""
    await starling.set("hello", "Hello, World!")  # starling.set('hello', 'Hello, World!')
    print(await starling.get("hello"))  # puts starling.get('hello')
    print(await starling.fetch("hello"))  # p starling.fetch('hello')


async def produce(starling: AsyncStarling, count: int) -> None:
    """Put increasing numbers into a queue."""
    for number in range(1, count + 1):  # (1..count).each do |number|
        await starling.set("numbers", number)  # starling.set('numbers', number)
    await starling.aclose()


async def consume(starling: AsyncStarling, count: int) -> None:
    """Take numbers out of a queue as they come."""
    for _ in range(count):  # count.times do
        print("got", await starling.get("numbers"))  # puts "got #{starling.get('numbers')}"
    await starling.aclose()


async def log_and_write(starling: AsyncStarling) -> None:
    """Log into a queue, and print what was logged."""
    await starling.set("log", {"level": "info", "text": "begin"})
    record = await starling.get("log")  # record = starling.get('log')
    print(record["level"], record["text"])  # puts "#{record[:level]} #{record[:text]}"


async def show(starling: AsyncStarling) -> None:
    """Show what is in the queues, empty them, and delete them."""
    await starling.set("left", "over")
    print(await starling.sizeof())  # p starling.sizeof(:all)
    for queue in await starling.available_queues():  # starling.available_queues.each do |queue|
        print(queue, await starling.sizeof(queue))  # puts "#{queue} #{starling.sizeof(queue)}"
        await starling.flush(queue, print)  # starling.flush(queue) { |value| puts value }
        await starling.delete(queue)  # starling.delete(queue)
    for stats in (await starling.stats()).values():  # starling.stats.each_value do |stats|
        print("items:", stats["curr_items"])  # puts "items: #{stats['curr_items']}"


async def main() -> None:
    """Run all of them."""
    parser = argparse.ArgumentParser(description="Scripts of Ruby's Starling class, with trio.")
    parser.add_argument("--server", default="127.0.0.1:22122", help="host:port")
    parser.add_argument("--count", type=int, default=10, help="numbers to send")
    options = parser.parse_args()

    starling = AsyncStarling(options.server)  # starling = Starling.new('127.0.0.1:22122')
    await hello(starling)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume, AsyncStarling(options.server), options.count)
        nursery.start_soon(produce, AsyncStarling(options.server), options.count)
    await log_and_write(starling)
    await show(starling)
    await starling.aclose()


if __name__ == "__main__":
    try:
        trio.run(main)
    except StarlingError as problem:
        raise SystemExit(f"no server: {problem}") from None
