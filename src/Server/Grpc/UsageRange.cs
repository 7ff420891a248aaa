using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Server;

/// <summary>The days that a request for usage means.</summary>
internal static class UsageRange
{
    private const int UsualDays = 30;

    /// <exception cref="NdifException">BAD_ARGUMENT: not a day.</exception>
    public static (DateOnly Since, DateOnly Until) Of(GetUsageRequest request, TimeProvider time)
    {
        DateOnly today = DateOnly.FromDateTime(time.GetUtcNow().UtcDateTime);
        return (Day(request.Since) ?? today.AddDays(1 - UsualDays), Day(request.Until) ?? DateOnly.MaxValue);
    }

    private static DateOnly? Day(string text) => text.Length == 0 ? null
        : DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out DateOnly day) ? day : throw ServerErrors.BadDay(text);
}
