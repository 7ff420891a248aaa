using System.Globalization;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Reads usage records as usage.lua returns them: repeated groups of day, owner, and a list of "counter model" and amount.
/// </summary>
internal static class RedisUsageReader
{
    private static readonly int _epochDay = new DateOnly(1970, 1, 1).DayNumber;

    /// <summary>Days since 1970.</summary>
    public static int ToDayNumber(DateOnly day) => day.DayNumber - _epochDay;

    public static IEnumerable<UsageRow> Read(RedisResult reply)
    {
        foreach (RedisResult[] account in ((RedisResult[])reply!).Chunk(3))
        {
            string day = UsageAccounting.FormatDay(DateOnly.FromDayNumber(_epochDay + (int)account[0]));
            Dictionary<string, UsageRow> rows = []; // by model
            foreach (RedisResult[] entry in ((RedisResult[])account[2]!).Chunk(2))
            {
                string[] names = ((string)entry[0]!).Split(' ', 2);
                if (!rows.TryGetValue(names[1], out UsageRow? row))
                    rows[names[1]] = row = new UsageRow { Key = (string)account[1]!, Model = names[1], Day = day };
                SetAmount(row, names[0], ulong.Parse((string)entry[1]!, CultureInfo.InvariantCulture));
            }
            foreach (UsageRow row in rows.Values) yield return row;
        }
    }

    private static void SetAmount(UsageRow row, string field, ulong amount)
    {
        switch (field)
        {
            case "jobs": row.Jobs = amount; break;
            case "completed": row.Completed = amount; break;
            case "failed": row.Failed = amount; break;
            case "cancelled": row.Cancelled = amount; break;
            case "tokens": row.Tokens = amount; break;
            case "passes": row.Passes = amount; break;
            case "ms": row.ComputeSeconds = amount / 1000.0; break;
            case "bytes": row.ResultBytes = amount; break;
        }
    }
}
