"""The Open Inference Protocol v2: tensors, messages and schemas, as values and bytes.

Everything is bounded before it is read, and no invalid tensor can be made: datatypes BOOL to FP64
and BYTES, in JSON or by the binary tensor data extension. **Numbers are finite, in both forms and
both ways**: JSON has no word for NaN or infinity, and an answer that holds one is no answer.
Members that the protocol does not name are passed over, as are nulls, which some clients send.
"""

from freehold.markets.models.tensor.messages import (
    Body,
    Limits,
    Parameter,
    Request,
    Response,
    Wanted,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    header_length,
)
from freehold.markets.models.tensor.refusals import (
    MalformedError,
    MismatchError,
    NotFiniteError,
    TooLargeError,
)
from freehold.markets.models.tensor.rows import join, rows_of, split
from freehold.markets.models.tensor.schema import ANY, Schema, Spec
from freehold.markets.models.tensor.values import DATATYPES, Tensor, from_arrays, to_arrays

__all__ = [
    "ANY",
    "DATATYPES",
    "Body",
    "Limits",
    "MalformedError",
    "MismatchError",
    "NotFiniteError",
    "Parameter",
    "Request",
    "Response",
    "Schema",
    "Spec",
    "Tensor",
    "TooLargeError",
    "Wanted",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "from_arrays",
    "header_length",
    "join",
    "rows_of",
    "split",
    "to_arrays",
]
