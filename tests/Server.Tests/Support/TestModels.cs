using Google.Protobuf;
using Ndif.Protocol;
using Ndif.Server.Admission;

namespace Ndif.Server.Tests.Support;

/// <summary>A model description, programs for <see cref="FakeWorker"/>, and rules that refuse certain programs.</summary>
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

    /// <summary>Refuses a program that reads the module "no.such.module", as the real validator would.</summary>
    public static ProgramRules Rules { get; } = new(
        (program, model, _) => model is not null && program.Nodes.Any(node => node.Read?.Site?.Module == "no.such.module")
            ? Errors.Create(
                ErrorCode.UnknownModule, "The model has no module `no.such.module`.", "Did you mean `lm_head`?", "no.such.module")
            : null,
        ["softmax", "matmul"], 1, ["gradients"]);

    /// <param name="behavior">The behavior of the fake worker; see <see cref="FakeWorker"/>.</param>
    public static SubmitRequest Submit(string behavior, string jobId = "", string model = TestGateway.Model) => new()
    {
        JobId = jobId,
        Program = new Program
        {
            Version = 1,
            Client = behavior,
            Model = new ModelRef { Id = model },
            Nodes = { new Node { Trace = new Trace { Mode = Mode.Forward,
                Invokes = { new Invoke { Input = new Input { Prompts = { "The Eiffel Tower is in" } } } } } } },
            Regions = { new Region { Nodes = { 0 } } },
        },
    };

    public static RunRequest Run(string behavior, string jobId = "") => new() { Submit = Submit(behavior, jobId) };
}
