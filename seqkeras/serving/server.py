"""A small local server for an export, which answers TensorFlow Serving's REST API.

    GET  /v1/models/NAME[/versions/V]             is it there?
    GET  /v1/models/NAME[/versions/V]/metadata    which signatures, inputs and outputs?
    POST /v1/models/NAME[/versions/V]:predict     run one

Clients written against it work with TensorFlow Serving unchanged
(tensorflow.org/tfx/serving/api_rest). It serves one model, in the version that was the highest when
it started. For the network at large use TensorFlow Serving: this has no encryption, no
authentication and no limits.
"""

import contextlib
import logging

import tensorflow as tf
from google.protobuf import json_format

from seqkeras.serving.rest import RequestError, format_predict, parse_predict
from seqkeras.serving.servable import Servable

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise ImportError(
        f"the server needs starlette and uvicorn ({error}): pip install starlette uvicorn"
    ) from error

DEFAULT_PORT = 8501  # TensorFlow Serving's
_GRACE_SECONDS = 30  # for requests under way when the server is told to stop

_log = logging.getLogger("uvicorn.error")  # uvicorn's log of everything but requests


def serve(model_dir, port=DEFAULT_PORT, host="127.0.0.1"):
    """Serves an exported model until interrupted (Ctrl-C or SIGTERM); requests under way finish.

    Args:
        model_dir: `DIRECTORY/NAME`, of which the highest version is served, or a version's folder.
        port: int; 0 takes a free one, which the log names.
        host: address to listen on; the default is reachable from this machine only.

    Raises:
        FileNotFoundError: there is no exported model.
        ImportError: the optional dependencies `seqkeras[serve]` are missing.
    """
    app = create_app(Servable(model_dir))
    uvicorn.run(app, host=host, port=port, timeout_graceful_shutdown=_GRACE_SECONDS)


def create_app(servable):
    """Returns the ASGI application that serves a `Servable`, and closes it at the end."""

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        where = f"POST /v1/models/{servable.name}:predict"
        _log.info("Serving %s version %d: %s", servable.path, servable.version, where)
        try:
            yield
        finally:
            servable.close()

    routes = []
    for model in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}"):
        # In this order: the name of the last one matches more.
        routes.append(Route(model + ":predict", _predict, methods=["POST"]))
        routes.append(Route(model + "/metadata", _metadata, methods=["GET"]))
        routes.append(Route(model, _status, methods=["GET"]))
    handlers = {
        RequestError: _bad_request,
        tf.errors.InvalidArgumentError: _bad_request,
        HTTPException: _http_error,
        Exception: _server_error,
    }
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    app.state.servable = servable
    return app


async def _predict(request):
    servable = _find(request)
    call = parse_predict(await request.body(), servable.signatures)
    outputs = await servable.predict(call.signature, call.inputs)
    return Response(format_predict(outputs, call.by_row), media_type="application/json")


async def _status(request):
    servable = _find(request)
    status = {"error_code": "OK", "error_message": ""}
    version = {"version": str(servable.version), "state": "AVAILABLE", "status": status}
    return JSONResponse({"model_version_status": [version]})


async def _metadata(request):
    servable = _find(request)
    signatures = {
        name: json_format.MessageToDict(
            signature,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for name, signature in servable.signatures.items()
    }
    spec = {"name": servable.name, "signature_name": "", "version": str(servable.version)}
    metadata = {"signature_def": {"signature_def": signatures}}  # twice, as TensorFlow Serving
    return JSONResponse({"model_spec": spec, "metadata": metadata})


def _find(request):
    """The servable that the path names, or 404."""
    servable = request.app.state.servable
    name = request.path_params["name"]
    version = request.path_params.get("version", str(servable.version))
    if (name, version) != (servable.name, str(servable.version)):
        raise HTTPException(
            404,
            f"no model '{name}' with version {version} here: "
            f"this serves '{servable.name}', version {servable.version}",
        )
    return servable


async def _bad_request(_request, error):
    return JSONResponse({"error": str(error)}, 400)


async def _http_error(_request, error):
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _server_error(_request, error):
    return JSONResponse({"error": f"internal error: {error}"}, 500)
