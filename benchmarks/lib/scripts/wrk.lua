-- wrk's script: sends requests in turn, and writes what it measured as one line of JSON.
--
--   wrk ... -s wrk.lua URL -- FILE
--
-- FILE holds complete requests: a line with the number of bytes, then the request. Answers are not
-- inspected here, for that would have wrk copy each of them: it counts statuses of 400 and more
-- itself. Requests are counted as they are sent, so that those without an answer show.

local requests, threads = {}, {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  while true do
    local line = file:read("*l")
    if not line then break end
    table.insert(requests, file:read(tonumber(line)))
  end
  file:close()
  sent = 0
end

function request()
  sent = sent + 1
  return requests[sent % #requests + 1]
end

function done(summary, latency, _)
  local all = 0
  for _, thread in ipairs(threads) do
    all = all + thread:get("sent")
  end
  local errors = summary.errors
  io.write(string.format(
    '{"seconds":%.6f,"answers":%d,"sent":%d,"refused":%d,"p50_us":%d,"p99_us":%d,' ..
    '"connect_errors":%d,"read_errors":%d,"write_errors":%d,"late":%d}\n',
    summary.duration / 1e6, summary.requests, all, errors.status,
    latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout))
end
