using Google.Protobuf;
using Ndif.Protocol;
using Ndif.Protocol.Messages;

namespace Ndif.Server.Tests.Support;

/// <summary>A described model, and programs that a <see cref="FakeWorker"/> understands.</summary>
internal static class TestModels
{
    public static ModelDescription Gpt2 => new()
    {
        Id = TestGateway.Model,
        Revision = "607a30d",
        Architecture = "GPT2LMHeadModel",
        Root = new ModuleInfo { ClassName = "GPT2LMHeadModel", Children = { new ModuleInfo { Name = "lm_head", ClassName = "Linear" } } },
        Dtype = DataType.Float32,
        Files = { ["config.json"] = ByteString.CopyFromUtf8("{}") },
    };

    public static ModelStatus Gpt2Status => new()
    {
        Id = TestGateway.Model, Revision = "607a30d", Architecture = "GPT2LMHeadModel", Heat = Heat.Hot, Parameters = 124_439_808,
        Bytes = 497_759_232, Dtype = DataType.Float32,
    };

    /// <summary>A program of one trace of one prompt.</summary>
    /// <param name="behavior">The behavior of the fake worker; see <see cref="FakeWorker"/>.</param>
    public static SubmitRequest Submit(string behavior, string jobId = "", string model = TestGateway.Model) => new()
    {
        JobId = jobId,
        Program = new Program
        {
            Version = 1,
            Client = behavior,
            Model = new ModelRef { Id = model },
            Nodes =
            {
                new Node
                {
                    Trace = new Trace
                    {
                        Mode = Mode.Forward, Region = 1,
                        Invokes = { new Invoke { Region = 2, Input = new Input { Prompts = { "The Eiffel Tower is in" } } } },
                    },
                },
            },
            Regions = { new Region { Nodes = { 0 } }, new Region(), new Region() },
        },
    };

    public static RunRequest Run(string behavior, string jobId = "") => new() { Submit = Submit(behavior, jobId) };
}
