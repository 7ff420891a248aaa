using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Server.Grpc;

/// <summary>Parses the date range of a usage request. Default: the last 30 days.</summary>
internal static class UsageDateRange
{
    private const int DefaultDays = 30;

    /// <exception cref="NdifException">BAD_ARGUMENT: a date is not valid.</exception>
    public static (DateOnly Since, DateOnly Until) Parse(GetUsageRequest request, TimeProvider time)
    {
        DateOnly today = DateOnly.FromDateTime(time.GetUtcNow().UtcDateTime);
        return (ParseDate(request.Since) ?? today.AddDays(1 - DefaultDays), ParseDate(request.Until) ?? DateOnly.MaxValue);
    }

    private static DateOnly? ParseDate(string text) => text.Length == 0 ? null
        : DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out DateOnly day) ? day
        : throw ServerErrors.BadDate(text);
}
