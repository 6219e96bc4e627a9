"""The least that streams artifacts: PUT, GET and DELETE of one file, in a store that a variable names.

The bench runs its text in the image of MLflow (see streams.py). BARE_ROOT: a directory; else BARE_BUCKET with BARE_URL,
and boto3's own variables. A file is on the disk before the answer, and a bucket gets parts, as with the stack.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import boto3
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

PIECE, PART = 1 << 20, 5 << 20
ROOT, BUCKET = os.environ.get("BARE_ROOT"), os.environ.get("BARE_BUCKET", "")
NAME = "bare.bin"
file = Path(ROOT or "/nowhere", NAME)
client: Any = None if ROOT else boto3.client("s3", endpoint_url=os.environ["BARE_URL"])


async def put_file(request: Request) -> Response:
    with file.open("wb", buffering=0) as target:
        async for piece in request.stream():
            target.write(piece)
        os.fdatasync(target.fileno())
    return Response()


async def get_file(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        with file.open("rb", buffering=0) as source:
            while piece := source.read(PIECE):
                yield piece

    return StreamingResponse(pieces(), headers={"Content-Length": str(file.stat().st_size)})


async def delete_file(_: Request) -> Response:
    file.unlink()
    return Response()


async def put_object(request: Request) -> Response:
    place = {"Bucket": BUCKET, "Key": NAME}
    place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
    parts: list[dict[str, Any]] = []

    async def send(part: bytes) -> None:
        number = len(parts) + 1
        sent = await asyncio.to_thread(client.upload_part, **place, PartNumber=number, Body=part)
        parts.append({"ETag": sent["ETag"], "PartNumber": number})

    held = bytearray()
    async for piece in request.stream():
        held += piece
        if len(held) >= PART:
            await send(bytes(held))
            held.clear()
    if held:
        await send(bytes(held))
    client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    return Response()


async def get_object(_: Request) -> Response:
    found = client.get_object(Bucket=BUCKET, Key=NAME)

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await asyncio.to_thread(found["Body"].read, PIECE):
            yield piece

    return StreamingResponse(pieces(), headers={"Content-Length": str(found["ContentLength"])})


async def delete_object(_: Request) -> Response:
    client.delete_object(Bucket=BUCKET, Key=NAME)
    return Response()


async def health(_: Request) -> Response:
    return Response()


def app() -> Starlette:
    ways = (put_file, get_file, delete_file) if ROOT else (put_object, get_object, delete_object)
    routes = [Route("/file", way, methods=[name]) for name, way in zip(("PUT", "GET", "DELETE"), ways, strict=True)]
    return Starlette(routes=[*routes, Route("/health", health)])


if __name__ == "__main__":
    uvicorn.run(app(), host="0.0.0.0", port=5000, access_log=False)
