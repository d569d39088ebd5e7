-- What wrk does for wrk.py: every connection posts the same body until the time is over and enough
-- was sent, and rests then. When all rest, no request is without its answer.
-- Arguments: file of the body, bytes of a right answer, seconds, least requests, connections.

local ffi = require("ffi")
ffi.cdef([[
   struct timespec { long seconds; long nanoseconds; };
   int clock_gettime(int, struct timespec *);
]])

local CLOCK_MONOTONIC = 1
local moment = ffi.new("struct timespec")
local text, length, seconds, least, connections
local looked_at = false
local resting = 0
local only_thread

-- Globals: done() runs in a Lua state of its own and gets them from the thread's.
sent, answered, wrong, first, last, own = 0, 0, 0, 0, 0, 0

local function now()
   ffi.C.clock_gettime(CLOCK_MONOTONIC, moment)
   return tonumber(moment.seconds) + tonumber(moment.nanoseconds) / 1e9
end

function setup(thread)
   only_thread = thread
end

function init(arguments)
   local body = assert(io.open(arguments[1], "rb"))
   text = wrk.format("POST", nil, nil, body:read("*a"))
   body:close()
   length, seconds = tonumber(arguments[2]), tonumber(arguments[3])
   least, connections = tonumber(arguments[4]), tonumber(arguments[5])
end

function request()
   if not looked_at then -- wrk parses the first one and sends it to nobody
      looked_at = true
      return text
   end
   last = now()
   if sent == 0 then
      first = last
   end
   if sent < least or last - first < seconds then
      sent = sent + 1
      return text
   end
   resting = resting + 1
   if resting == connections then -- wrk.py hears it and interrupts wrk, which sleeps otherwise
      own = os.clock() -- CPU time so far: reading the histogram later takes some more
      io.write("at rest\n")
      io.flush()
      wrk.thread:stop()
   end
   return "" -- nothing to send: the connection rests
end

function response(status, headers, body)
   answered = answered + 1
   if status ~= 200 or #body ~= length then
      wrong = wrong + 1
   end
end

function done(summary, latency)
   local took = {}
   for index = 1, #latency do
      took[index] = string.format("[%.0f,%.0f]", latency(index))
   end
   local function of(name)
      return only_thread:get(name)
   end
   print(string.format(
      '{"sent": %.0f, "answered": %.0f, "wrong": %.0f, "late": %.0f, "seconds": %.6f, '
         .. '"own_seconds": %.6f, "runtime_us": %.0f, "took_us": [%s]}',
      of("sent"), of("answered"), of("wrong"), summary.errors.timeout, of("last") - of("first"),
      of("own"), summary.duration, table.concat(took, ",")
   ))
end
