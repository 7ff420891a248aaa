using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;

namespace Ndif.Server.Keys;

/// <summary>
/// Authenticates every request by its API key before its body is read, and checks the scope that the endpoint requires. A refused request
/// gets a typed error in its own protocol (gRPC or HTTP). An endpoint with neither <see cref="RequiresScopeAttribute"/> nor
/// <see cref="AllowWithoutKeyAttribute"/> requires a valid key of any scope.
/// </summary>
internal sealed class ApiKeyMiddleware(
    RequestDelegate next, KeyService keys, GatewayOptions options, OpenRequestLimiter openRequests,
    KeylessRequestLimiter keylessRequests, RequestLogLimiter lines, ExceptionTranslator exceptionTranslator,
    ILogger<ApiKeyMiddleware> logger)
{
    private const string Scheme = "Bearer ";

    public async Task InvokeAsync(HttpContext context)
    {
        Endpoint? endpoint = context.GetEndpoint();
        if (endpoint is null || endpoint.Metadata.GetMetadata<AllowWithoutKeyAttribute>() is not null
            || HttpMethods.IsOptions(context.Request.Method))
        {
            await next(context);
            return;
        }
        try
        {
            Caller caller = await AuthenticateAsync(context.Request.Headers.Authorization.ToString(), context.RequestAborted);
            if (endpoint.Metadata.GetMetadata<RequiresScopeAttribute>() is { Scopes: var scopes } && !scopes.Any(caller.HasScope))
                throw ServerErrors.MissingScope(caller, scopes[0]);
            context.Features.Set(caller);
            context.Features.Get<ConnectionLimiter.ClientConnection>()?.OnAuthenticated(caller.Id);
        }
        catch (Exception refusal)
        {
            Error error = await WaitForAnswerAsync(exceptionTranslator.ToError(refusal), context.RequestAborted);
            if (lines.TryTake("")) logger.Refused(endpoint.DisplayName ?? "", ErrorCodeNames.GetName(error.Code), error.Message);
            Telemetry.Refusals.Add(1, new KeyValuePair<string, object?>("code", ErrorCodeNames.GetName(error.Code)));
            if (IsGrpc(context.Request)) ErrorWireFormat.WriteTrailersOnly(context.Response, error);
            else await ErrorJson.WriteAsync(context.Response, error);
            return;
        }
        await next(context);
    }

    private async Task<Caller> AuthenticateAsync(string authorization, CancellationToken cancellationToken)
    {
        if (authorization.Length == 0) return options.AllowAnonymous ? Caller.Anonymous : throw ServerErrors.MissingKey();
        if (!authorization.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)) throw ServerErrors.MalformedKey();
        using IDisposable check = await openRequests.EnterCheckAsync(cancellationToken);
        return await keys.VerifyAsync(authorization[Scheme.Length..].Trim(), cancellationToken);
    }

    /// <summary>Waits until a caller without a valid key may be answered; returns the answer.</summary>
    private async Task<Error> WaitForAnswerAsync(Error refusal, CancellationToken cancellationToken)
    {
        if (refusal.Code != ErrorCode.Unauthenticated) return refusal;
        try
        {
            await keylessRequests.EnterAsync(cancellationToken);
            return refusal;
        }
        catch (Exception failure) when (failure is NdifException or OperationCanceledException)
        {
            return exceptionTranslator.ToError(failure);
        }
    }

    /// <summary>Returns whether the request is a gRPC or gRPC-Web call.</summary>
    internal static bool IsGrpc(HttpRequest request) =>
        request.ContentType?.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase) == true;
}
