using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;

namespace Ndif.Server.Hosting;

/// <summary>
/// Limits how many requests are open (<see cref="OpenRequestLimiter"/>), what those of a key cost the gateway
/// (<see cref="RefusalLimiter"/>, <see cref="DecodingLimiter"/>), and those without one (<see cref="KeylessRequestLimiter"/>). It runs
/// after the key is known and before the body is read.
/// </summary>
internal sealed class RequestLimitMiddleware(
    RequestDelegate next, GatewayOptions options, OpenRequestLimiter openRequests, KeylessRequestLimiter keylessRequests,
    RefusalLimiter refusals, DecodingLimiter decoding, ExceptionTranslator exceptionTranslator)
{
    /// <summary>A client whose requests are refused for some time, and that sends them again at once, waits for each answer.</summary>
    private static readonly TimeSpan _pauseBeforeRefusal = TimeSpan.FromSeconds(1);

    public async Task InvokeAsync(HttpContext context)
    {
        bool isGrpc = ApiKeyMiddleware.IsGrpc(context.Request);
        Caller? caller = context.Features.Get<Caller>();
        IDisposable? open = null;
        try
        {
            if (caller is null) await EnterWithoutKeyAsync(context);
            if (caller is not null || IsPublicStream(context.Request)) open = openRequests.Enter(caller);
        }
        catch (Exception refusal)
        {
            await RefuseAsync(context, isGrpc, refusal);
            return;
        }
        using (open)
        {
            if (caller is null) await next(context);
            else await HandleAsync(context, caller, isGrpc);
        }
    }

    private Task EnterWithoutKeyAsync(HttpContext context) =>
        context.GetEndpoint()?.Metadata.GetMetadata<AllowWithoutKeyAttribute>() is { IsProbe: true }
            ? keylessRequests.DelayProbeAsync(context.RequestAborted)
            : keylessRequests.EnterAsync(context.RequestAborted);

    /// <summary>Returns whether a call without a key may stay open: of reflection, and Watch of health checks.</summary>
    private static bool IsPublicStream(HttpRequest request) =>
        request.Path.Value is { } path && path.StartsWith("/grpc.", StringComparison.Ordinal)
        && !path.EndsWith("/Check", StringComparison.Ordinal);

    private async Task HandleAsync(HttpContext context, Caller caller, bool isGrpc)
    {
        if (refusals.GetWait(caller.Id, caller.Tier) is var wait && wait > TimeSpan.Zero)
        {
            await Task.Delay(_pauseBeforeRefusal, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await RefuseAsync(context, isGrpc, ServerErrors.TooManyRefusals(options.GetTier(caller.Tier).JobsPerMinute, wait));
            return;
        }
        using var scope = new RequestScope(decoding, caller.Id, options.MessageBytes);
        try
        {
            // an upload is written as it is received, and takes no place
            bool isMessage = isGrpc ? !context.Request.Path.Value!.EndsWith("/PutBlob", StringComparison.Ordinal)
                : HttpMethods.IsPost(context.Request.Method);
            if (isMessage)
                await scope.EnterAsync(context.RequestAborted);
        }
        catch (Exception refusal)
        {
            await RefuseAsync(context, isGrpc, refusal);
            return;
        }
        RequestScope.Current = scope;
        await next(context);
        if (scope.IsRepeatable || IsRefusal(context, isGrpc)) refusals.Add(caller.Id, caller.Tier, scope);
    }

    private Task RefuseAsync(HttpContext context, bool isGrpc, Exception refusal)
    {
        Error error = exceptionTranslator.ToError(refusal);
        Telemetry.Refusals.Add(1, new KeyValuePair<string, object?>("code", ErrorCodeNames.GetName(error.Code)));
        if (!isGrpc) return ErrorJson.WriteAsync(context.Response, error);
        ErrorWireFormat.WriteTrailersOnly(context.Response, error);
        return Task.CompletedTask;
    }

    /// <summary>Returns whether the request was refused for a reason of its own.</summary>
    private static bool IsRefusal(HttpContext context, bool isGrpc)
    {
        if (!isGrpc) return context.Response.StatusCode is >= 400 and <= 500 and not StatusCodes.Status416RangeNotSatisfiable;
        string? text = context.Response.Headers["grpc-status"];
        if (string.IsNullOrEmpty(text)) text = context.Features.Get<IHttpResponseTrailersFeature>()?.Trailers["grpc-status"];
        return int.TryParse(text, out int status) && (StatusCode)status is StatusCode.InvalidArgument or StatusCode.ResourceExhausted
            or StatusCode.FailedPrecondition or StatusCode.NotFound or StatusCode.OutOfRange or StatusCode.DataLoss or StatusCode.Unknown
            or StatusCode.AlreadyExists or StatusCode.PermissionDenied;
    }
}
