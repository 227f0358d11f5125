"""What one round trip to a database costs, so that a delay can be believed."""

import time
from statistics import median

import asyncpg

ROUND_TRIPS = 200


async def round_trip_milliseconds(url: str) -> float:
    """Give the median of the smallest statement's time."""
    connection = await asyncpg.connect(url)
    try:
        taken = []
        for _ in range(ROUND_TRIPS):
            begun_at = time.perf_counter()
            await connection.fetchval("SELECT 1")
            taken.append(time.perf_counter() - begun_at)
        return median(taken) * 1000
    finally:
        await connection.close()
