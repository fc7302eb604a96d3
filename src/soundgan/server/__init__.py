"""Web API: a FastAPI app around the model, without PyTorch.

The way of a request, from the socket to the sound and back:

    client       server process                                                    worker process
      │ HTTP   ┌────────────────────────────────────────────────────────────┐
      ├───────▶│ protocol.Connection          header and response timeouts  │
      │        │ middleware                   id, host, body, disconnects   │
      │        │ security.AuthenticatedRoute  token, JSON                   │
      │        │ routes_v1, routes_infer      validation                    │
      │        │   │                                                        │
      │        │ state.submit                 rate limit                    │
      │        │   │                                                        │
      │        │ BatchQueue.run               queue; the request waits      │
      │        │   ⋮ BatchQueue.consume       batch of several requests     │
      │        │ WorkerPool.run               idle worker, in a thread      │
      │        │   │                                                        │    pipe
      │        │ Worker.generate ───────────────────────────────────────────┼──▶ SoundGAN.generate_batch
      │◀───────│ response ◀─────────────────────────────────────────────────┼─── sounds
      │        └────────────────────────────────────────────────────────────┘

With a single process, the worker is a thread that calls `SoundGAN.generate_batch` itself.
"""

PORT = 5050  # of the classic server; here, because the command line needs nothing else of this package
