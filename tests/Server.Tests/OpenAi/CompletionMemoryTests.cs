using System.Net;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using Ndif.Protocol;
using Ndif.Server.OpenAi;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.OpenAi;

/// <summary>The memory that a completion takes until its client has read it is reserved before its job is submitted.</summary>
public sealed class CompletionMemoryTests
{
    [Fact]
    public async Task ACompletionThatWaits_HasTheMemoryOfItsRequest_AndGivesItBack()
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        CompletionClient client = await CompletionClient.CreateAsync(gateway);
        int free = GatewayMemory.MeasureFree(gateway, client.Owner);
        Task<HttpResponseMessage> response = client.PostAsync(
            new() { ["prompt"] = "The", ["max_tokens"] = 1, ["user"] = new string('x', 2 << 20) });
        CompletionLease job = await client.LeaseAsync();
        await WaitForAsync(() => GatewayMemory.MeasureFree(gateway, client.Owner), free - 17); // 8 bytes for each

        await job.PublishTokenAsync("x", isLast: true);
        await job.CompleteAsync();
        using (HttpResponseMessage answer = await response) await answer.Content.ReadAsStringAsync(TestGateway.Cancel);
        await WaitForAsync(() => GatewayMemory.MeasureFree(gateway, client.Owner), free);
    }

    [Fact]
    public async Task ACompletionThatThereIsNoMemoryFor_IsRefused_BeforeItHasAJob_AndCountsAsNoRefusalOfTheKey()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(jobsPerMinute: 3));
        CompletionClient client = await CompletionClient.CreateAsync(gateway);
        JsonObject large = new() { ["prompt"] = "The", ["max_tokens"] = 100_000, ["logprobs"] = 5 };
        var limiter = GatewayMemory.Occupy(gateway, except: 4 << 20);
        for (int i = 0; i < 10; i++)
        {
            using HttpResponseMessage refused = await client.PostAsync(large);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
            Assert.Contains("no memory", await refused.Content.ReadAsStringAsync(TestGateway.Cancel), StringComparison.Ordinal);
        }
        Assert.Empty(await gateway.Backend.Jobs.ListAsync("", 10, activeOnly: false, TestGateway.Cancel));

        limiter.Release("other 1", 40 << 20);
        Task<HttpResponseMessage> response = client.PostAsync(large);
        CompletionLease job = await client.LeaseAsync();
        await job.FailAsync(ErrorCode.OpFailed);
        using HttpResponseMessage failed = await response;
        Assert.Equal(HttpStatusCode.BadRequest, failed.StatusCode);
    }

    [Fact]
    public async Task ACompletionThatIsLargerThanTheMemoryOfTheGateway_IsRefusedForGood()
    {
        await using TestGateway gateway = await TestGateway.StartAsync(TestGateway.CreateOptions(tokens: int.MaxValue));
        CompletionClient client = await CompletionClient.CreateAsync(gateway);
        using HttpResponseMessage refused = await client.PostAsync(
            new() { ["prompt"] = "The", ["max_tokens"] = 1_000_000_000, ["logprobs"] = 20, ["n"] = 128 });
        Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        Assert.Contains("limit_exceeded", await refused.Content.ReadAsStringAsync(TestGateway.Cancel), StringComparison.Ordinal);
        Assert.Empty(await gateway.Backend.Jobs.ListAsync("", 10, activeOnly: false, TestGateway.Cancel));
    }

    [Fact]
    public async Task AStream_GivesBackTheMemoryOfAnEchoedPrompt_WhenItIsDelivered()
    {
        const int Length = 20_000, Top = 20;
        await using TestGateway gateway = await TestGateway.StartAsync();
        CompletionClient client = await CompletionClient.CreateAsync(gateway);
        int free = GatewayMemory.MeasureFree(gateway, client.Owner);
        Task<HttpResponseMessage> response = client.PostAsync(new()
        {
            ["prompt"] = new string('a', Length), ["max_tokens"] = 1, ["logprobs"] = Top, ["echo"] = true, ["stream"] = true,
        });
        CompletionLease job = await client.LeaseAsync();
        await WaitForAsync(() => GatewayMemory.MeasureFree(gateway, client.Owner), free - 10, tolerance: 1); // 496 bytes for each token
        await job.PublishPromptAsync(Length, Top);
        using HttpResponseMessage answer = await response;
        await using Stream body = await answer.Content.ReadAsStreamAsync(TestGateway.Cancel);
        Task reading = body.CopyToAsync(Stream.Null, TestGateway.Cancel);
        await WaitForAsync(() => GatewayMemory.MeasureFree(gateway, client.Owner), free - 1, tolerance: 1);
        Assert.False(reading.IsCompleted);
    }

    /// <summary>A stream of any length keeps what its client waits for.</summary>
    [Fact]
    public void ATokenThatWasDelivered_IsNotKept()
    {
        ChoiceProgress choice = CreateChoice(new ChoiceSaves());
        WeakReference delivered = Deliver(choice);
        GC.Collect();
        Assert.False(delivered.IsAlive);
        GC.KeepAlive(choice);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Deliver(ChoiceProgress choice)
        {
            var token = new NewToken { Id = 'a', Text = "a" };
            choice.OnToken(token);
            Assert.Equal("a", choice.TakeNext()!.Text);
            return new WeakReference(token);
        }
    }

    [Fact]
    public void AnAttemptThatBeginsAgain_DeliversNothingTwice()
    {
        var saves = new ChoiceSaves { Logprob = 1, FirstTopValues = 2, FirstTopIds = 3, TopValues = 4, TopIds = 5 };
        ChoiceProgress choice = CreateChoice(saves, topLogprobs: 1);
        List<ChoiceDelta> deltas = [];
        Run(steps: 2, values: 2);
        Run(steps: 1, values: 0);
        Run(steps: 4, values: 3); // the last token has come, and its values have not
        Assert.Equal("abc", string.Concat(deltas.Select(delta => delta.Text)));
        Assert.Equal([-0f, -1f, -2f], deltas.SelectMany(delta => delta.Tokens).Select(token => token.Logprob!.Value));
        Assert.Equal(["a", "b", "c"], deltas.SelectMany(delta => delta.Tokens).Select(token => token.Top[0].Text));
        Assert.Equal(3, choice.TokenCount);

        void Run(int steps, int values)
        {
            choice.OnRestart();
            for (int step = 0; step < steps; step++)
            {
                choice.OnToken(new NewToken { Id = 'a' + step, Text = $"{(char)('a' + step)}" });
                if (step >= values) continue;
                choice.OnValue(1, TensorData.FromArray((float[])[-step], 1));
                choice.OnValue(step == 0 ? 2u : 4u, TensorData.FromArray((float[])[-step], 1));
                choice.OnValue(step == 0 ? 3u : 5u, TensorData.FromArray((long[])['a' + step], 1));
                while (choice.TakeNext() is { } delta) deltas.Add(delta);
            }
        }
    }

    private static ChoiceProgress CreateChoice(ChoiceSaves saves, int? topLogprobs = null)
    {
        var model = new CompletionModel("m", new ModelRef(), TestModels.Gpt2, new TokenTextCache(ByteTokenizer.Create()));
        var request = new CompletionRequest { Model = "m", Sampling = new Generation(), TopLogprobs = topLogprobs };
        return new ChoiceProgress(0, model, request, new CompletionPrompt("", [1]), saves, maxTokens: 10);
    }

    /// <summary>Waits until a number is the expected one, or less than so much smaller.</summary>
    private static async Task WaitForAsync(Func<int> measure, int expected, int tolerance = 0)
    {
        while (measure() is var now && (now > expected || now < expected - tolerance)) await Task.Delay(20, TestGateway.Cancel);
    }
}
