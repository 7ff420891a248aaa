using System.ClientModel;
using System.ClientModel.Primitives;
using System.Text;
using System.Text.Json.Nodes;
using Ndif.Models.Files;
using Ndif.Protocol;
using OpenAI;
using OpenAI.Chat;
using OpenAI.Models;

namespace Ndif.EndToEnd.Tests;

/// <summary>OpenAI's .NET package as the client, with a model that has a chat template.</summary>
public sealed class OpenAiChatTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private const string Template = "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] + ' ' }}"
        + "{% elif message['role'] == 'user' %}{{ message['content'] }}{% else %}{{ raise_exception('no such role') }}{% endif %}"
        + "{% endfor %}";
    private const string Question = "The Eiffel Tower is in";

    private readonly TempFolder _models = new();

    [Fact]
    public async Task AChat_IsThatOfGenerate_WholeStreamedAndWithLogprobs()
    {
        (string model, ChildProcess worker) = await StartChatModelAsync();
        await using ChildProcess stopped = worker;
        ChatClient chat = CreateClient(Cluster.Key).GetChatClient(model);
        ChatMessage[] messages = [new UserChatMessage(Question)];
        string expected = await GenerateAsync(Question, 5);

        var options = new ChatCompletionOptions
        {
            Temperature = 0, MaxOutputTokenCount = 5, IncludeLogProbabilities = true, TopLogProbabilityCount = 2,
        };
        ChatCompletion whole = await chat.CompleteChatAsync(messages, options, Cancel);
        Assert.Equal(
            (expected, ChatFinishReason.Length, ChatMessageRole.Assistant), (whole.Content[0].Text, whole.FinishReason, whole.Role));
        Assert.Equal((5, 5), (whole.Usage.OutputTokenCount, whole.ContentTokenLogProbabilities.Count));
        Assert.Equal(expected, string.Concat(whole.ContentTokenLogProbabilities.Select(token => token.Token)));
        Assert.All(whole.ContentTokenLogProbabilities, token =>
        {
            Assert.Equal(2, token.TopLogProbabilities.Count);
            ChatTokenTopLogProbabilityDetails likeliest = token.TopLogProbabilities[0];
            Assert.Equal((token.Token, token.LogProbability), (likeliest.Token, likeliest.LogProbability));
            Assert.Equal(token.Token, Encoding.UTF8.GetString(token.Utf8Bytes!.Value.Span));
        });

        var text = new StringBuilder();
        ChatFinishReason? reason = null;
        ChatTokenUsage? usage = null;
        List<float> logprobs = [];
        await foreach (StreamingChatCompletionUpdate update in chat.CompleteChatStreamingAsync(messages, options, Cancel))
        {
            foreach (ChatMessageContentPart part in update.ContentUpdate) text.Append(part.Text);
            logprobs.AddRange(update.ContentTokenLogProbabilities.Select(token => token.LogProbability));
            (reason, usage) = (update.FinishReason ?? reason, update.Usage ?? usage);
        }
        Assert.Equal((expected, ChatFinishReason.Length), (text.ToString(), reason));
        Assert.Equal(whole.Usage.TotalTokenCount, usage!.TotalTokenCount); // the package asks for it
        Assert.Equal(whole.ContentTokenLogProbabilities.Select(token => token.LogProbability), logprobs);
    }

    [Fact]
    public async Task TheTemplateStopAndSeed_Apply_AndRolesThatTheTemplateRefusesAreAnError()
    {
        (string model, ChildProcess worker) = await StartChatModelAsync();
        await using ChildProcess stopped = worker;
        ChatClient chat = CreateClient(Cluster.Key).GetChatClient(model);
        ChatMessage[] messages = [new SystemChatMessage("Big Ben is in London."), new UserChatMessage(Question)];
        string expected = await GenerateAsync($"Big Ben is in London. {Question}", 6);
        string stop = expected[^3..];
        var options = new ChatCompletionOptions { Temperature = 0, MaxOutputTokenCount = 6, StopSequences = { stop } };
        ChatCompletion stoppedEarly = await chat.CompleteChatAsync(messages, options, Cancel);
        Assert.Equal(
            (expected[..expected.IndexOf(stop, StringComparison.Ordinal)], ChatFinishReason.Stop),
            (stoppedEarly.Content.Count == 0 ? "" : stoppedEarly.Content[0].Text, stoppedEarly.FinishReason));

#pragma warning disable OPENAI001 // the package marks the seed as experimental
        var drawn = new ChatCompletionOptions { Temperature = 1.3f, MaxOutputTokenCount = 8, Seed = 3 };
#pragma warning restore OPENAI001
        ChatCompletion one = await chat.CompleteChatAsync(messages, drawn, Cancel);
        ChatCompletion two = await chat.CompleteChatAsync(messages, drawn, Cancel);
        Assert.Equal(one.Content[0].Text, two.Content[0].Text);

        ClientResultException refused = await Assert.ThrowsAsync<ClientResultException>(() =>
            chat.CompleteChatAsync([.. messages, new AssistantChatMessage("Paris")], options, Cancel));
        Assert.Equal(400, refused.Status);
        Assert.Contains("no such role", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheModelsOfThePackage_AndItsErrors_AreOurs()
    {
        OpenAIModelClient models = CreateClient(Cluster.Key).GetOpenAIModelClient();
        OpenAIModelCollection listed = await models.GetModelsAsync(Cancel);
        Assert.Contains(listed, model => model.Id == Experiments.Model);
        Assert.Equal(Experiments.Model, (await models.GetModelAsync(Experiments.Model, Cancel)).Value.Id);
        ClientResultException unknown = await Assert.ThrowsAsync<ClientResultException>(() => models.GetModelAsync("gpt-5", Cancel));
        Assert.Equal(404, unknown.Status);
        string wrong = Cluster.Key[..^43] + new string('A', 43);
        ClientResultException denied = await Assert.ThrowsAsync<ClientResultException>(() =>
            CreateClient(wrong).GetChatClient(Experiments.Model)
                .CompleteChatAsync([new UserChatMessage("Hello")], cancellationToken: Cancel));
        Assert.Equal(401, denied.Status);
        Assert.Contains("invalid_api_key", denied.Message, StringComparison.Ordinal);
    }

    private OpenAIClient CreateClient(string key) => new(new ApiKeyCredential(key), new OpenAIClientOptions
    {
        Endpoint = new Uri(Cluster.Http, "/v1"), RetryPolicy = new ClientRetryPolicy(0),
    });

    /// <summary>Starts a worker of the cluster that holds the bundled model with a chat template.</summary>
    private async Task<(string Model, ChildProcess Worker)> StartChatModelAsync()
    {
        string from = ModelStore.Find(ModelStore.TinyLandmarks).Path, to = _models.File("chat");
        Directory.CreateDirectory(to);
        foreach (string file in Directory.EnumerateFiles(from)) File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        string config = Path.Combine(to, "tokenizer_config.json");
        JsonNode settings = JsonNode.Parse(await File.ReadAllTextAsync(config, Cancel))!;
        settings["chat_template"] = Template;
        await File.WriteAllTextAsync(config, settings.ToJsonString(), Cancel);
        string id = $"chat{Guid.NewGuid():n}";
        return (to, await Cluster.StartWorkerProcessAsync(id, "--model", to));
    }

    private static async Task<string> GenerateAsync(string prompt, int count)
    {
        var local = new LanguageModel(Experiments.Model, remote: Backend.Local);
        using Trace trace = local.Generate(prompt, count);
        Saved ids = trace.Result.Save();
        await trace.RunAsync(Cancel);
        return local.Tokenizer.Decode(ids.Tensor.ToArray<long>().Select(id => (int)id), skipSpecialTokens: true)[prompt.Length..];
    }
}
