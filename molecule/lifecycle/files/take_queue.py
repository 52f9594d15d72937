#!/usr/bin/env python3
"""take_queue.py URL QUEUE ENDING: takes all messages of a queue, and prints those whose topic has this ending."""

import json
import sys

import pika

url, queue, ending = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
while True:
    method, _, body = channel.basic_get(queue, auto_ack=True)
    if method is None:
        break
    if method.routing_key.endswith(ending):
        print(json.loads(body)["log"])
connection.close()
