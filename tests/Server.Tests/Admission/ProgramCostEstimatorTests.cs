using Google.Protobuf;
using Ndif.Protocol;
using Ndif.Protocol.Messages;
using Ndif.Server.Admission;

namespace Ndif.Server.Tests.Admission;

public sealed class ProgramCostEstimatorTests
{
    private const int Prompt = 3;

    [Theory]
    [InlineData("""{ "max_new_tokens": 50 }""", 50, 1)]
    [InlineData("""{ "max_new_tokens": 50, "num_beams": 4 }""", 50, 4)]
    [InlineData("""{ "max_new_tokens": 50, "do_sample": true, "num_return_sequences": 3 }""", 50, 3)]
    [InlineData("""{ }""", 20, 1)]
    [InlineData("no JSON", 20, 1)] // the run reports it
    public void AGeneration_HasTheLengthOfTheModelsFiles_WhereTheRequestSetsNone(string file, uint steps, ulong sequences)
    {
        var model = new ModelDescription { Files = { ["generation_config.json"] = ByteString.CopyFromUtf8(file) } };
        Assert.Equal((steps, (Prompt + steps - 1) * sequences), Estimate(model, new Invoke()));
        Assert.Equal((7u, (Prompt + 6) * sequences), Estimate(model, new Invoke(), new Generation { MaxNewTokens = 7 }));
        Assert.Equal((20u, Prompt + 19ul), Estimate(model, new Invoke(), new Generation { UseModelDefaults = false }));
        Assert.Equal((20u, Prompt + 19ul), Estimate(null, new Invoke()));
    }

    [Fact]
    public void TheOptionsOfAnInvoke_ReplaceThoseOfItsTrace()
    {
        ByteString file = ByteString.CopyFromUtf8("""{ "max_new_tokens": 50 }""");
        var model = new ModelDescription { Files = { ["generation_config.json"] = file } };
        var own = new Invoke { Generation = new Generation { MaxNewTokens = 9 } };
        Assert.Equal((9u, Prompt + 8ul), Estimate(model, own, new Generation { MaxNewTokens = 30 }));
        Assert.Equal((9u, Prompt + 8ul), Estimate(model, own));
    }

    private static (uint Passes, ulong Tokens) Estimate(ModelDescription? model, Invoke invoke, Generation? options = null)
    {
        Invoke withInput = invoke.Clone();
        withInput.Input = new Input { Tokens = { new TokenRow { Ids = { new long[Prompt] } } } };
        var trace = new Trace { Mode = Mode.Generate, Generation = options, Invokes = { withInput } };
        var program = new Program { Nodes = { new Node { Trace = trace } }, Regions = { new Region() } };
        Estimate estimate = ProgramCostEstimator.Estimate(program, model);
        return (estimate.Passes, estimate.Tokens);
    }
}
