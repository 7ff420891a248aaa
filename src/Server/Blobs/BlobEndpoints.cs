using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.Blobs;

/// <summary>
/// Transfers blobs over HTTP, which was measured two to three times as fast as gRPC messages for large tensors.
/// `GET /v1/blobs/{id}` supports ranges and ETags, so that a download can be resumed. `PUT /v1/blobs/{id}` requires that the bytes hash
/// to the id. Both require an API key.
/// </summary>
internal static class BlobEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        var scope = new RequiresScopeAttribute(Scopes.Run);
        routes.MapMethods("/v1/blobs/{id}", [HttpMethods.Get, HttpMethods.Head], GetAsync).WithMetadata(scope);
        routes.MapPut("/v1/blobs/{id}", PutAsync).WithMetadata(scope);
    }

    private static Task GetAsync(
        string id, HttpContext context, BlobTransfer blobs, GatewayOptions options, ExceptionTranslator exceptionTranslator) =>
        WriteErrorsAsJsonAsync(context, exceptionTranslator, async () =>
    {
        await using Stream content = await blobs.OpenAsync(context.GetCaller(), id, context.RequestAborted);
        await BlobResponse.WriteAsync(context, id, content, options.StalledReaderTimeout);
        if (HttpMethods.IsGet(context.Request.Method))
            Telemetry.BlobBytes.Add(context.Response.ContentLength ?? 0, new KeyValuePair<string, object?>("direction", "out"));
    });

    private static Task PutAsync(string id, HttpContext context, BlobTransfer blobs, ExceptionTranslator exceptionTranslator) =>
        WriteErrorsAsJsonAsync(context, exceptionTranslator, async () =>
    {
        if (!BlobIds.IsValid(id)) throw ServerErrors.ChecksumMismatch(id, "a lower-case hex SHA-256");
        BlobRef stored = await blobs.PutAsync(
            context.GetCaller(), () => id, (target, cancel) => context.Request.BodyReader.CopyToAsync(target, cancel),
            context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status201Created;
        await context.Response.WriteAsJsonAsync(new BlobJson(stored.Id, stored.Length), BlobJsonContext.Default.BlobJson);
    });

    /// <summary>
    /// Writes a typed error as JSON. If the response has already started, the exception aborts the connection, which the client sees as an
    /// incomplete body.
    /// </summary>
    private static async Task WriteErrorsAsJsonAsync(HttpContext context, ExceptionTranslator exceptionTranslator, Func<Task> handler)
    {
        try
        {
            await handler();
        }
        catch (Exception failure) when (context.IsDisconnection(failure))
        {
            // the client has disconnected
        }
        catch (Exception failure) when (!context.Response.HasStarted)
        {
            context.Response.Headers.Clear();
            await ErrorJson.WriteAsync(context.Response, exceptionTranslator.ToError(failure));
        }
    }
}
