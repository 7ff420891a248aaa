using System.Net;

namespace Ndif.Models.Files.Hub;

/// <summary>An unsuccessful response of the hub.</summary>
/// <param name="errorCode">The value of the header X-Error-Code: "GatedRepo", "RepoNotFound", "RevisionNotFound", "EntryNotFound".</param>
internal sealed class HubStatusException(Uri address, HttpStatusCode status, string errorCode, TimeSpan? retryAfter)
    : Exception($"{address.GetLeftPart(UriPartial.Path)} answered {(int)status} {(errorCode.Length > 0 ? errorCode : status.ToString())}")
{
    public HttpStatusCode Status => status;

    public string ErrorCode => errorCode;

    public TimeSpan? RetryAfter => retryAfter;

    /// <summary>Whether the same request may succeed later.</summary>
    public bool IsTransient => status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests || (int)status >= 500;
}
