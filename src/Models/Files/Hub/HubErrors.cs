using System.Net;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Hub;

/// <summary>Creates the errors of a failed download.</summary>
internal static class HubErrors
{
    /// <param name="hasResponded">Whether the hub has responded to any request.</param>
    public static Exception Translate(Exception e, string id, string revision, HubOptions options, bool hasResponded)
    {
        string address = options.Endpoint.ToString().TrimEnd('/');
        string proxy = Protocol.EnvironmentProxy.Current.Describe(options.Endpoint) is { } named ? $" through the proxy {named}" : "";
        return e switch
        {
            HubStatusException { ErrorCode: "GatedRepo" } or HubStatusException { Status: HttpStatusCode.Forbidden } =>
                Errors.CreateException(ErrorCode.PermissionDenied,
                $"`{id}` on {address} is only for those who accepted its conditions.",
                $"Accept the licence at {address}/{id}, and set HF_TOKEN to a token of that account"
                + (options.Token is null ? "; none is set."
                    : "; the one that is set has no access, or has not the right to read gated repositories."), inner: e),
            HubStatusException { ErrorCode: "RevisionNotFound" } => Errors.CreateException(ErrorCode.UnknownModel,
                $"`{id}` on {address} has no revision `{revision}`.", $"Its branches, tags and commits are at {address}/{id}/tree/main.",
                inner: e),
            HubStatusException { Status: HttpStatusCode.NotFound or HttpStatusCode.Unauthorized } refusal =>
                Errors.CreateException(ErrorCode.UnknownModel,
                $"The model `{id}` is not on this machine, and {address} has none of this name"
                + (options.Token is null ? " that is open to everyone." : " that the token in HF_TOKEN may see."),
                WithTrailingSpace(Errors.DidYouMean(id, Nearest(options))) + (options.Token is null
                    ? "If it is private or gated, set HF_TOKEN."
                    : refusal.Status == HttpStatusCode.Unauthorized ? "The token may have expired; `hf auth whoami` tells."
                    : "Check the spelling of organization and name."), inner: e),
            HttpRequestException or TimeoutException or IOException when !hasResponded => Errors.CreateException(ErrorCode.UnknownModel,
                $"The model `{id}` is not on this machine, and {address} cannot be asked for it{proxy}: {Reason(e)}",
                WithTrailingSpace(Errors.DidYouMean(id, Nearest(options)))
                + "Check the network and HF_ENDPOINT, or give a folder in Hugging Face's format.", inner: e),
            _ => Failed(id, options, Reason(e), "What has arrived is kept, and the next try goes on from there.", e),
        };
    }

    /// <summary>A DOWNLOAD_FAILED error, which is retryable.</summary>
    public static Exception Failed(string id, HubOptions options, string why, string hint, Exception? inner = null)
    {
        Protocol.Error error =
            Errors.Create(ErrorCode.DownloadFailed, $"The download of `{id}` from {options.Endpoint.ToString().TrimEnd('/')} failed: {why}",
                hint);
        error.Retryable = true;
        return Errors.ToException(error, inner);
    }

    public static Exception Offline(string id, string revision, HubOptions options) => Errors.CreateException(ErrorCode.UnknownModel,
        $"The model `{id}`{(revision == "main" ? "" : $" at revision `{revision}`")} is not on this machine: there is no such folder, "
        + $"it is not bundled, it is not in the cache {options.Cache} "
        + "(set by HF_HUB_CACHE or HF_HOME), and HF_HUB_OFFLINE is set, so nothing is downloaded.",
        WithTrailingSpace(Errors.DidYouMean(id, Nearest(options))) + "Give a folder in Hugging Face's format, or unset HF_HUB_OFFLINE.");

    private static IEnumerable<string> Nearest(HubOptions options) => HubCache.Models(options.Cache).Prepend(ModelStore.TinyLandmarks);

    private static string WithTrailingSpace(string text) => text.Length > 0 ? text + " " : "";

    private static string Reason(Exception e) => e.Message.EndsWith('.') ? e.Message : e.Message + ".";
}
