using System.Globalization;
using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Reads one entry of a job's event stream. The id of the entry is "sequence-0". An event of a worker is stored serialized in the field
/// <c>event</c>; a state that a script has set is stored field by field, because a script cannot serialize a message. Sequence number
/// and time are those of the entry in both cases.
/// </summary>
internal static class RedisEventReader
{
    public static Event Read(RedisResult entry)
    {
        var parts = (RedisResult[])entry!;
        string id = (string)parts[0]!;
        Dictionary<string, RedisResult> fields =
            ((RedisResult[])parts[1]!).Chunk(2).ToDictionary(pair => (string)pair[0]!, pair => pair[1]);
        Event jobEvent = fields.TryGetValue("event", out RedisResult? bytes)
            ? Event.Parser.ParseFrom((byte[])bytes!)
            : fields.TryGetValue("restart", out RedisResult? attempt)
            ? new Event { Restart = new Restart { Attempt = (uint)(long)attempt } }
            : new Event { State = ReadState(fields) };
        jobEvent.Sequence = ulong.Parse(id.AsSpan(0, id.IndexOf('-', StringComparison.Ordinal)), CultureInfo.InvariantCulture);
        jobEvent.Time = DateTimeOffset.FromUnixTimeMilliseconds((long)fields["time"]).ToTimestamp();
        return jobEvent;
    }

    private static StateChanged ReadState(Dictionary<string, RedisResult> fields)
    {
        var state = new StateChanged
        {
            State = (JobState)(int)fields["state"],
            Position = fields.TryGetValue("position", out RedisResult? position) ? (uint)(long)position : 0,
            WaitSeconds = fields.TryGetValue("wait", out RedisResult? wait) ? (double)wait / 1000 : 0,
            Attempt = fields.TryGetValue("attempt", out RedisResult? attempt) ? (uint)(long)attempt : 0,
            Worker = fields.TryGetValue("worker", out RedisResult? worker) ? (string)worker! : "",
            Notice = fields.TryGetValue("notice", out RedisResult? notice) ? (string?)notice ?? "" : "",
        };
        if (fields.TryGetValue("error", out RedisResult? error)) state.Error = Error.Parser.ParseFrom((byte[])error!);
        if (fields.TryGetValue("deaths", out RedisResult? deaths)) state.Error = QueueErrors.WorkerLost((int)deaths, state.Worker);
        return state;
    }
}
