using Google.Protobuf;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Hosting;
using Ndif.Server.OpenAi;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.OpenAi;

/// <summary>What a completion keeps of its job until its client has read it counts for the memory of its key.</summary>
public sealed class CompletionMemoryTests
{
    private const long KeyMemory = 16 << 20;

    [Theory]
    [InlineData(1 << 20, 8)]
    [InlineData(64, 50_000)]
    public async Task TheValuesOfAJob_AreReserved(int bytes, int atLeast)
    {
        var tensor = new Tensor { Dtype = DataType.Uint8, Shape = { bytes }, Inline = ByteString.CopyFrom(new byte[bytes]) };
        int taken = await CountUntilRefusedAsync(new Event { Value = new SavedValue { Data = new Data { Tensor = tensor } } });
        Assert.InRange(taken, atLeast, (int)(KeyMemory / bytes));
    }

    [Fact]
    public async Task TheTokensOfAJob_AreReserved() => Assert.InRange(
        await CountUntilRefusedAsync(new Event { Tokens = new NewTokens { Tokens = { new NewToken { Id = 1, Text = " the" } } } }),
        10_000, 1_000_000);

    /// <summary>The number of events of a job that the memory of a key is enough for.</summary>
    private static async Task<int> CountUntilRefusedAsync(Event jobEvent)
    {
        using var limiter = new DecodingLimiter(new GatewayOptions(), availableMemory: 8 * KeyMemory);
        await using TestGateway gateway = await TestGateway.StartAsync();
        using var scope = new RequestScope(limiter, "ada", 1 << 20);
        RequestScope.Current = scope;
        scope.Release(); // as after the submission
        var model = new CompletionModel("m", new ModelRef(), TestModels.Gpt2, new TokenTextCache(ByteTokenizer.Create()));
        var request = new CompletionRequest { Model = "m", Sampling = new Generation() };
        var job = new CompletionJob(
            "job", "ada", [new ChoiceProgress(0, model, request, new CompletionPrompt("", [1]), new ChoiceSaves(), maxTokens: 10)], []);
        for (int taken = 0; ; taken++)
        {
            try
            {
                await job.OnEventAsync(jobEvent, gateway.Backend.Blobs, TestGateway.Cancel);
            }
            catch (NdifException busy)
            {
                Assert.Equal((ErrorCode.Unavailable, true), (busy.Code, busy.Error.Retryable));
                scope.Release();
                await job.OnEventAsync(jobEvent, gateway.Backend.Blobs, TestGateway.Cancel); // when others have ended
                return taken;
            }
        }
    }
}
