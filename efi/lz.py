"""The other direction of lz.c: pack bytes. Which matches are best is found by looking at the cheapest few ways
to get to each byte, which differ in the distance that the next match may repeat."""
MATCH_MIN, LOW_BITS_SHORT, LOW_BITS_LONG, PEEK_BYTES = 2, 6, 9, 8  # see lz.c
WAYS = 4  # to each byte that are kept
CHUNK = 64  # bytes that are compared at once
LENGTH_ALL = 40  # of longer matches not each part is tried


def number_bits(number, low_bits):
    return 2 * ((number >> low_bits) + 1).bit_length() - 1 + low_bits


def low_bits(length):
    return LOW_BITS_SHORT if length == MATCH_MIN else LOW_BITS_LONG


def common(data, before, at, length):
    """How many bytes are the same from both on, of which so many are known to be."""
    while (at + length + CHUNK <= len(data)
           and data[before + length:before + length + CHUNK] == data[at + length:at + length + CHUNK]):
        length += CHUNK
    while at + length < len(data) and data[before + length] == data[at + length]:
        length += 1
    return length


def matches(data):
    """For each position the nearest distance for each length: [(distance, length)], ascending in both."""
    newest, older, found = {}, [], []
    for at in range(len(data)):
        pair, longest, here = data[at:at + 2], 1, []
        before = newest.get(pair, -1)
        older.append(before)
        newest[pair] = at
        while before >= 0 and at + longest < len(data):
            if data[before:before + longest + 1] == data[at:at + longest + 1]:
                longest = common(data, before, at, longest + 1)
                here.append((at - before, longest))
            before = older[before]
        found.append(here)
    return found


def lengths(first, last):
    return range(first, last + 1) if last <= LENGTH_ALL else [*range(first, LENGTH_ALL), last]


def ways(data):
    """The cheapest ways to each position: {(distance of the last match, is it right before): (bits, position
    and key of the way before, length and distance of the step; distance 0 repeats, length 0 is a literal)}."""
    best = [{} for _ in range(len(data) + 1)]
    best[0][1, False] = (0, 0, None, 0, 0)

    def reach(at, key, way):
        have = best[at].get(key)
        if not have or way[0] < have[0]:
            best[at][key] = way

    cost = {}  # of numbers, which are the same ones all the time
    def bits(number, low):
        key = number, low
        if key not in cost:
            cost[key] = number_bits(number, low)
        return cost[key]

    for at, here in enumerate(matches(data)):
        cheapest = sorted(best[at].items(), key=lambda item: item[1][0])[:WAYS]
        best[at] = dict(cheapest)
        steps, length = [], MATCH_MIN  # what may come next whatever came before
        for distance, last in here:
            for length in lengths(length, last):
                steps.append((length, distance, 1 + bits(length - MATCH_MIN, 0)
                              + bits(distance - 1, low_bits(length))))
            length += 1
        for key, (spent, *_) in cheapest:
            repeated, behind_match = key
            reach(at + 1, (repeated, False), (spent + 9, at, key, 0, 0))
            if not behind_match:
                for length in lengths(1, common(data, at - repeated, at, 0) if at >= repeated else 0):
                    reach(at + length, (repeated, True), (spent + 2 + bits(length - 1, 0), at, key, length, 0))
            spent += not behind_match
            for length, distance, price in steps:
                reach(at + length, (distance, True), (spent + price, at, key, length, distance))
    return best


def steps(data):
    """The steps of the cheapest way to the end: (position, is it behind a match, length, distance)."""
    best, at, taken = ways(data), len(data), []
    key = min(best[at], key=lambda k: best[at][k][0])
    while at:
        _, before, key_before, length, distance = best[at][key]
        taken.append((before, key_before[1], length, distance))
        at, key = before, key_before
    return reversed(taken)


def number_text(number, low):
    text = f"{number + (1 << low):b}"
    return "0" * (len(text) - 1 - low) + text


def pack(data):
    out = []
    for at, behind_match, length, distance in steps(data):
        if length == 0:
            out.append(f"0{data[at]:08b}")
        elif distance == 0:
            out.append("11" + number_text(length - 1, 0))
        else:
            out.append(("1" if behind_match else "10") + number_text(length - MATCH_MIN, 0)
                       + number_text(distance - 1, low_bits(length)))
    text = "".join(out)
    count = -(-len(text) // 8)
    return int(text.ljust(count * 8, "0") or "0", 2).to_bytes(count, "big") + bytes(PEEK_BYTES)
