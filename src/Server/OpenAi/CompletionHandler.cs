using Microsoft.AspNetCore.Http;
using Ndif.Protocol;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.OpenAi;

/// <summary>
/// Handles one request for completions:
/// 1. Read and check the fields.
/// 2. Find the model and encode the prompts.
/// 3. Reserve the memory of the completion, write the program, and submit it as a job.
/// 4. Send the text of the job: whole when it has ended, or in parts as it comes.
/// </summary>
internal sealed class CompletionHandler(
    OpenAiModelCatalog models, CompletionJobRunner runner, ExceptionTranslator exceptionTranslator, GatewayOptions options,
    TimeProvider time)
{
    /// <summary>The memory of a node of a program, roughly.</summary>
    private const int MemoryPerNode = 512;

    /// <exception cref="OpenAiException">The request is not valid.</exception>
    /// <exception cref="NdifException">The job was refused or failed, before anything was sent.</exception>
    public async Task HandleAsync(HttpContext context, Func<RequestFields, CompletionRequest> read, CompletionFormat format)
    {
        CancellationToken cancellationToken = context.RequestAborted;
        Caller caller = context.GetCaller();
        CompletionRequest request = await ReadAsync(context, read);                                       // 1
        if (RequestScope.Current is { } scope) await scope.TakeTurnIfLargeAsync(cancellationToken);
        CompletionModel model = await models.FindAsync(caller, request.Model, cancellationToken);         // 2
        IReadOnlyList<CompletionPrompt> prompts = model.Encode(request);
        int maxTokens = model.GetMaxTokens(request, prompts);
        CheckProgramSize(caller, request, model, prompts.Count);
        ReserveMemory(caller, request, prompts, maxTokens);                                               // 3
        CompletionProgram program = CompletionProgram.Write(request, model, prompts, maxTokens);
        ChoiceProgress[] choices = [.. program.Saves.Select((saves, i) =>
            new ChoiceProgress(i, model, request, prompts[i / request.ChoiceCount], saves, maxTokens))];
        CompletionJob job = await runner.SubmitAsync(caller, program, model.Edits?.Owner, choices, cancellationToken);
        var header = new CompletionHeader(format.IdPrefix + job.Id, time.GetUtcNow().ToUnixTimeSeconds(), model.Name);
        int promptTokens = prompts.Sum(prompt => prompt.Ids.Count);
        IAsyncEnumerable<ChoiceDelta> deltas = runner.FollowAsync(job, cancellationToken);
        CompletionUsage GetUsage() => new(promptTokens, job.TokenCount);
        if (request.Stream) await SendStreamAsync(context, request, prompts, format, header, deltas, GetUsage);  // 4
        else await SendWholeAsync(context, request, format, header, deltas, choices.Length, GetUsage);
    }

    /// <summary>Refuses a program that would be too large before it is written: each choice has a copy of the edits.</summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED, or UNAVAILABLE if there is no memory for it at the moment.</exception>
    private void CheckProgramSize(Caller caller, CompletionRequest request, CompletionModel model, int promptCount)
    {
        if (model.Edits is not { } edits) return;
        long nodes = (long)edits.Program.Nodes.Count * promptCount * request.ChoiceCount, limit = options.GetLimits(caller.Tier).Nodes;
        if (nodes > limit)
            throw ServerErrors.OverLimit("nodes, as each choice has those of the edits", nodes, limit, "Ask for fewer choices.");
        RequestScope.Current?.Reserve(nodes * MemoryPerNode);
    }

    /// <summary>Reserves what the completion takes until its client has read it, so that its job does not run for nothing.</summary>
    /// <exception cref="NdifException">
    /// UNAVAILABLE: there is no memory for it at the moment. LIMIT_EXCEEDED: it does not fit into the memory of the gateway.
    /// </exception>
    private void ReserveMemory(Caller caller, CompletionRequest request, IReadOnlyList<CompletionPrompt> prompts, int maxTokens)
    {
        if (RequestScope.Current is not { } scope) return;
        long bytes = CompletionMemory.Estimate(
            request, prompts, maxTokens, scope.ReceivedBytes, options.GetLimits(caller.Tier).Tokens);
        if (bytes > scope.MaxMemory) throw ServerErrors.CompletionTooLarge(bytes, scope.MaxMemory);
        scope.ReserveUntilEnd(bytes);
    }

    private async Task<CompletionRequest> ReadAsync(HttpContext context, Func<RequestFields, CompletionRequest> read)
    {
        using RequestFields fields = await RequestBody.ReadAsync(context, options);
        try
        {
            return read(fields);
        }
        catch (InvalidOperationException)
        {
            // thrown by JsonElement for a value of another type, and for escapes that are no Unicode text
            throw new OpenAiException(
                "The body of the request has a value of the wrong type, or text that is not Unicode.", code: "invalid_json");
        }
    }

    /// <summary>Sends a whole response when all of its choices have ended.</summary>
    private async Task SendWholeAsync(
        HttpContext context, CompletionRequest request, CompletionFormat format, CompletionHeader header,
        IAsyncEnumerable<ChoiceDelta> deltas, int count, Func<CompletionUsage> getUsage)
    {
        CompletedChoice[] completed = [.. Enumerable.Range(0, count).Select(_ => new CompletedChoice(request.TopLogprobs is not null))];
        await foreach (ChoiceDelta delta in deltas) completed[delta.Index].Add(delta);
        context.Response.ContentType = "application/json";
        using (var body = new JsonBody(context, options.StalledReaderTimeout))
        {
            format.WriteResponseStart(body.Json, header);
            for (int i = 0; i < count; i++) await format.WriteChoiceAsync(body, i, completed[i]);
            CompletionFormat.WriteResponseEnd(body.Json, getUsage());
        }
        await context.FlushBodyAsync(options.StalledReaderTimeout);
    }

    /// <summary>
    /// Sends server-sent events. Before the first one a failure is an HTTP status; after it, an event with the error ends the stream.
    /// </summary>
    private async Task SendStreamAsync(
        HttpContext context, CompletionRequest request, IReadOnlyList<CompletionPrompt> prompts, CompletionFormat format,
        CompletionHeader header, IAsyncEnumerable<ChoiceDelta> deltas, Func<CompletionUsage> getUsage)
    {
        var events = new ServerSentEvents(context, options.StalledReaderTimeout);
        int count = prompts.Count * request.ChoiceCount;
        int[] sent = new int[count]; // the length of the text of each choice
        bool[] hasBegun = new bool[count];
        try
        {
            await foreach (ChoiceDelta delta in deltas)
            {
                if (delta is { Text: "", Tokens: [], FinishReason: null }) continue;
                await events.SendAsync(body => format.WriteChunkAsync(
                    body, header, delta, sent[delta.Index], request.TopLogprobs is not null, !hasBegun[delta.Index],
                    request.IncludeUsage));
                if (!hasBegun[delta.Index]) // an echoed prompt is the first part of a choice
                    RequestScope.Current?.ReleaseEarly(CompletionMemory.EstimateEcho(request, prompts[delta.Index / request.ChoiceCount]));
                (sent[delta.Index], hasBegun[delta.Index]) = (sent[delta.Index] + delta.Text.Length, true);
            }
            if (request.IncludeUsage)
                await events.SendAsync(body =>
                {
                    format.WriteUsageChunk(body.Json, header, getUsage());
                    return Task.CompletedTask;
                });
            await events.SendDoneAsync();
        }
        catch (Exception failure) when (context.Response.HasStarted && !context.IsDisconnection(failure))
        {
            await events.SendErrorAsync(OpenAiErrorJson.Of(exceptionTranslator.ToError(failure)).Body);
        }
    }
}
