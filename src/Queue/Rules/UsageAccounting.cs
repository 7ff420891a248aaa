using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>The retention, date format and order of usage records, shared by all queue implementations.</summary>
internal static class UsageAccounting
{
    /// <summary>The number of days a usage record is kept. Redis/Scripts/common.lua (<c>charge</c>) has the same number.</summary>
    public const int RetentionDays = 400;

    public static string FormatDay(DateOnly day) => day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    /// <summary>Sorts usage records by day, key and model.</summary>
    public static IReadOnlyList<UsageRow> Sort(IEnumerable<UsageRow> rows) =>
    [
        .. rows.OrderBy(row => row.Day, StringComparer.Ordinal)
            .ThenBy(row => row.Key, StringComparer.Ordinal)
            .ThenBy(row => row.Model, StringComparer.Ordinal),
    ];
}
