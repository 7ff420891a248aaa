using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>Reads a job as the scripts return it (<c>read_job</c> in common.lua).</summary>
internal static class RedisJobReader
{
    public static JobInfo Read(RedisResult row)
    {
        var fields = (RedisResult[])row!;
        var info = new JobInfo
        {
            Id = Text(fields[15]),
            Model = ModelNames.Parse(Text(fields[0])),
            State = (JobState)Number(fields[1]),
            Submitted = Time(fields[2]),
            Started = Time(fields[3]),
            Ended = Time(fields[4]),
            Attempt = (uint)Number(fields[5]),
            Worker = Text(fields[7]),
            LastSequence = (ulong)Number(fields[10]),
            Position = (uint)Number(fields[13]),
            WaitSeconds = Number(fields[14]) / 1000.0,
            Owner = Text(fields[11]),
        };
        if (info.State is JobState.Queued) info.Notice = Text(fields[12]);
        if (!fields[8].IsNull) info.Error = Error.Parser.ParseFrom((byte[])fields[8]!);
        else if (info.State == JobState.Failed && !fields[6].IsNull)
            info.Error = QueueErrors.WorkerLost((int)Number(fields[6]), info.Worker);
        if (!fields[9].IsNull) info.Usage = Usage.Parser.ParseFrom((byte[])fields[9]!);
        return info;
    }

    private static string Text(RedisResult field) => (string?)field ?? "";

    private static long Number(RedisResult field) => field.IsNull ? 0 : (long)field;

    private static Timestamp? Time(RedisResult field) =>
        field.IsNull ? null : DateTimeOffset.FromUnixTimeMilliseconds((long)field).ToTimestamp();
}
