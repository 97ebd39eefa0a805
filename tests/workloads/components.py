"""WASI preview 2 components, written by hand: no compiler, no adapter.

Each has two core modules: one with the memory, because imports are lowered into a memory that must
be there before the code which calls them, and one with the code. The types are those of WASI 0.2.0,
which every later 0.2 host accepts.
"""

from tests.workloads import text

_STREAMS = """
  (import "wasi:io/error@0.2.0" (instance $io-error (export "error" (type (sub resource)))))
  (alias export $io-error "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer 1 $error (type $error))
    (export "output-stream" (type $output-stream (sub resource)))
    (type $failure (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $failure)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $output-stream)) (param "contents" (list u8))
      (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output-stream (type $output-stream))
    (export "get-stdout" (func (result (own $output-stream))))))
"""

# Answers are written at 0; texts begin at 64. Only errors would need `realloc`.
_MEMORY = """
  (core module $Memory
    (memory (export "memory") 1)
    (data (i32.const 64) {literal})
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $memory (instantiate $Memory))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower
    (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory (core memory $memory "memory"))))
  (core func $drop-stream (canon resource.drop $output-stream))
"""

_COMMAND = """
(component
  {streams}
  {memory}
  (core module $Code
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (func (export "run") (result i32)
      (call $write (call $get-stdout) (i32.const 64) (i32.const {length}) (i32.const 0))
      (i32.const {result})))
  (core instance $code (instantiate $Code
    (with "host" (instance
      (export "get-stdout" (func $get-stdout))
      (export "write" (func $write))))))
  (func $run (result (result)) (canon lift (core func $code "run")))
  (instance $cli-run (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli-run)))
"""

# `response-outparam.set` takes every error that HTTP knows.
_HTTP_TYPES = """
  (import "wasi:http/types@0.2.0" (instance $http
    (alias outer 1 $output-stream (type $output-stream))
    (export "fields" (type $fields (sub resource)))
    (export "incoming-request" (type $incoming-request (sub resource)))
    (export "outgoing-response" (type $outgoing-response (sub resource)))
    (export "outgoing-body" (type $outgoing-body (sub resource)))
    (export "response-outparam" (type $response-outparam (sub resource)))
    (type $dns (record (field "rcode" (option string)) (field "info-code" (option u16))))
    (export "DNS-error-payload" (type $dns-error (eq $dns)))
    (type $tls (record (field "alert-id" (option u8)) (field "alert-message" (option string))))
    (export "TLS-alert-received-payload" (type $tls-alert (eq $tls)))
    (type $size (record (field "field-name" (option string)) (field "field-size" (option u32))))
    (export "field-size-payload" (type $field-size (eq $size)))
    (type $code (variant
      (case "DNS-timeout") (case "DNS-error" $dns-error) (case "destination-not-found")
      (case "destination-unavailable") (case "destination-IP-prohibited")
      (case "destination-IP-unroutable") (case "connection-refused")
      (case "connection-terminated") (case "connection-timeout") (case "connection-read-timeout")
      (case "connection-write-timeout") (case "connection-limit-reached")
      (case "TLS-protocol-error") (case "TLS-certificate-error")
      (case "TLS-alert-received" $tls-alert) (case "HTTP-request-denied")
      (case "HTTP-request-length-required") (case "HTTP-request-body-size" (option u64))
      (case "HTTP-request-method-invalid") (case "HTTP-request-URI-invalid")
      (case "HTTP-request-URI-too-long") (case "HTTP-request-header-section-size" (option u32))
      (case "HTTP-request-header-size" (option $field-size))
      (case "HTTP-request-trailer-section-size" (option u32))
      (case "HTTP-request-trailer-size" $field-size) (case "HTTP-response-incomplete")
      (case "HTTP-response-header-section-size" (option u32))
      (case "HTTP-response-header-size" $field-size)
      (case "HTTP-response-body-size" (option u64))
      (case "HTTP-response-trailer-section-size" (option u32))
      (case "HTTP-response-trailer-size" $field-size)
      (case "HTTP-response-transfer-coding" (option string))
      (case "HTTP-response-content-coding" (option string)) (case "HTTP-response-timeout")
      (case "HTTP-upgrade-failed") (case "HTTP-protocol-error") (case "loop-detected")
      (case "configuration-error") (case "internal-error" (option string))))
    (export "error-code" (type $error-code (eq $code)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[constructor]outgoing-response" (func
      (param "headers" (own $fields)) (result (own $outgoing-response))))
    (export "[method]outgoing-response.body" (func
      (param "self" (borrow $outgoing-response)) (result (result (own $outgoing-body)))))
    (export "[method]outgoing-body.write" (func
      (param "self" (borrow $outgoing-body)) (result (result (own $output-stream)))))
    (export "[static]outgoing-body.finish" (func
      (param "this" (own $outgoing-body)) (param "trailers" (option (own $fields)))
      (result (result (error $error-code)))))
    (export "[static]response-outparam.set" (func
      (param "param" (own $response-outparam))
      (param "response" (result (own $outgoing-response) (error $error-code)))))))
  (alias export $http "incoming-request" (type $incoming-request))
  (alias export $http "response-outparam" (type $response-outparam))
"""

_SERVER = """
(component
  {streams}
  {http_types}
  {memory}
  (core func $fields (canon lower (func $http "[constructor]fields")))
  (core func $response (canon lower (func $http "[constructor]outgoing-response")))
  (core func $body (canon lower
    (func $http "[method]outgoing-response.body") (memory (core memory $memory "memory"))))
  (core func $body-write (canon lower
    (func $http "[method]outgoing-body.write") (memory (core memory $memory "memory"))))
  (core func $finish (canon lower
    (func $http "[static]outgoing-body.finish")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $set (canon lower
    (func $http "[static]response-outparam.set") (memory (core memory $memory "memory"))))
  (core func $drop-request (canon resource.drop $incoming-request))
  (core module $Code
    (import "memory" "memory" (memory 1))
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (import "host" "drop-stream" (func $drop-stream (param i32)))
    (import "host" "drop-request" (func $drop-request (param i32)))
    (import "host" "fields" (func $fields (result i32)))
    (import "host" "response" (func $response (param i32) (result i32)))
    (import "host" "body" (func $body (param i32 i32)))
    (import "host" "body-write" (func $body-write (param i32 i32)))
    (import "host" "finish" (func $finish (param i32 i32 i32 i32)))
    (import "host" "set" (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (func $answer (result i32)
      (if (i32.load8_u (i32.const 0)) (then unreachable))
      (i32.load (i32.const 4)))
    (func $print
      (call $write (call $get-stdout) (i32.const {log_at}) (i32.const {log_length}) (i32.const 0)))
    (func (export "handle") (param $request i32) (param $outparam i32)
      (local $outgoing i32) (local $content i32) (local $stream i32)
      {print}
      (local.set $outgoing (call $response (call $fields)))
      (call $body (local.get $outgoing) (i32.const 0))
      (local.set $content (call $answer))
      (call $set (local.get $outparam) (i32.const 0) (local.get $outgoing)
        (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $body-write (local.get $content) (i32.const 0))
      (local.set $stream (call $answer))
      (call $write (local.get $stream) (i32.const 64) (i32.const {length}) (i32.const 0))
      (call $drop-stream (local.get $stream))
      (call $finish (local.get $content) (i32.const 0) (i32.const 0) (i32.const 0))
      (call $drop-request (local.get $request))))
  (core instance $code (instantiate $Code
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "get-stdout" (func $get-stdout))
      (export "write" (func $write))
      (export "drop-stream" (func $drop-stream))
      (export "drop-request" (func $drop-request))
      (export "fields" (func $fields))
      (export "response" (func $response))
      (export "body" (func $body))
      (export "body-write" (func $body-write))
      (export "finish" (func $finish))
      (export "set" (func $set))))))
  (func $handle
    (param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))
    (canon lift (core func $code "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"""


def command(what: str, *, succeed: bool = True) -> bytes:
    """Print `what` to stdout and end, as a component of the world `wasi:cli/command`."""
    return text.assemble(
        _COMMAND.format(
            streams=_STREAMS,
            memory=_MEMORY.format(literal=text.literal(what)),
            length=text.length(what),
            result=0 if succeed else 1,
        )
    )


def http_server(body: str, *, log: str | None = None) -> bytes:
    """Answer every request with 200 and `body`, as a component of the world `wasi:http/proxy`.

    Args:
        body: What clients get.
        log: Printed to stdout for each request; None prints nothing.
    """
    line = log or ""
    return text.assemble(
        _SERVER.format(
            streams=_STREAMS,
            http_types=_HTTP_TYPES,
            memory=_MEMORY.format(literal=text.literal(body + line)),
            length=text.length(body),
            log_at=64 + text.length(body),
            log_length=text.length(line),
            print="(call $print)" if line else "",
        )
    )
