using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.OpenAi;

/// <summary>
/// OpenAI's HTTP API, for every client of it: `/v1/models`, `/v1/completions` and `/v1/chat/completions`. The bearer token is a key of the
/// service with the scope `run`.
/// </summary>
/// <remarks>https://platform.openai.com/docs/api-reference</remarks>
internal static class OpenAiEndpoints
{
    public static void AddServices(IServiceCollection services) => services.AddSingleton<TokenizerCache>()
        .AddSingleton<OpenAiModelCatalog>().AddSingleton<CompletionJobRunner>().AddSingleton<CompletionHandler>();

    public static void Map(IEndpointRouteBuilder routes, GatewayOptions options)
    {
        RouteGroupBuilder api = routes.MapGroup("/v1").WithMetadata(new RequiresScopeAttribute(Scopes.Run), new OpenAiApiAttribute());
        if (!options.AllowAnonymous) api.RequireCors(CorsPolicies.AnyOrigin);
        api.MapPost("/completions", (HttpContext context, CompletionHandler handler, ExceptionTranslator translator) =>
            WriteErrorsAsync(
                context, translator, () => handler.HandleAsync(context, TextCompletionReader.Read, new TextCompletionFormat())));
        api.MapPost("/chat/completions", (HttpContext context, CompletionHandler handler, ExceptionTranslator translator) =>
            WriteErrorsAsync(
                context, translator, () => handler.HandleAsync(context, ChatCompletionReader.Read, new ChatCompletionFormat())));
        api.MapGet("/models", (HttpContext context, OpenAiModelCatalog models, ExceptionTranslator translator) =>
            WriteErrorsAsync(context, translator, async () =>
                await WriteListAsync(context.Response, await models.ListAsync(context.GetCaller(), context.RequestAborted))));
        // ids contain slashes, which clients escape
        api.MapGet("/models/{**id}", (string id, HttpContext context, OpenAiModelCatalog models, ExceptionTranslator translator) =>
            WriteErrorsAsync(context, translator, async () =>
            {
                string name = id.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);
                OpenAiModel model = await models.GetAsync(context.GetCaller(), name, context.RequestAborted);
                await WriteAsync(context.Response, json => WriteModel(json, model));
            }));
        api.Map("/{**rest}", (HttpContext context, ExceptionTranslator translator) =>
            WriteErrorsAsync(context, translator, () => throw OpenAiException.UnknownUrl(context.Request)));
    }

    private static Task WriteListAsync(HttpResponse response, IReadOnlyList<OpenAiModel> models) => WriteAsync(response, json =>
    {
        json.WriteStartObject();
        json.WriteString("object", "list");
        json.WriteStartArray("data");
        foreach (OpenAiModel model in models) WriteModel(json, model);
        json.WriteEndArray();
        json.WriteEndObject();
    });

    private static void WriteModel(Utf8JsonWriter json, OpenAiModel model)
    {
        json.WriteStartObject();
        json.WriteString("id", model.Id);
        json.WriteString("object", "model");
        json.WriteNumber("created", model.Created);
        json.WriteString("owned_by", model.OwnedBy);
        json.WriteEndObject();
    }

    private static async Task WriteAsync(HttpResponse response, Action<Utf8JsonWriter> write)
    {
        response.ContentType = "application/json";
        await using var json = new Utf8JsonWriter(response.BodyWriter);
        write(json);
    }

    /// <summary>Runs a handler, and writes its error as OpenAI's error object. A response that has started is aborted.</summary>
    private static async Task WriteErrorsAsync(HttpContext context, ExceptionTranslator translator, Func<Task> handler)
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
            if (failure is OpenAiException refusal) await OpenAiErrorJson.WriteAsync(context.Response, OpenAiErrorJson.Of(refusal));
            else await OpenAiErrorJson.WriteAsync(context.Response, translator.ToError(failure));
        }
    }
}
