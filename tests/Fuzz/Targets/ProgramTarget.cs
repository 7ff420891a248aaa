using Google.Protobuf;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Program = Ndif.Protocol.Program;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Server.Admission;
using Ndif.Tests.Support;
using TorchSharp;

namespace Ndif.Fuzz.Targets;

/// <summary>
/// A submission as the gateway processes it: it is decoded, validated against a model, and its cost is estimated.
/// </summary>
/// <param name="executePrograms">
/// True to also compile and run a valid program, which must succeed or fail with a typed error and leak no tensor.
/// </param>
internal sealed class ProgramTarget(bool executePrograms) : IFuzzTarget
{
    private static readonly ProgramLimits _limits = new()
    {
        Nodes = 300, Nesting = 16, MessageBytes = 1 << 20, ConstantBytes = 1 << 20, Tokens = 512,
    };

    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(2);

    public IEnumerable<byte[]> Seeds()
    {
        for (int seed = 0; seed < 60; seed++)
            yield return new RandomProgramGenerator(ModelUnderTest.ForPrograms, seed).Next().ToByteArray();
    }

    public void Run(byte[] input)
    {
        Program program;
        try
        {
            program = Program.Parser.ParseFrom(input);
        }
        catch (InvalidProtocolBufferException)
        {
            return; // the gateway refuses it with BAD_ARGUMENT
        }
        Error? refusal = ProgramValidator.Validate(program, ModelUnderTest.Model.Description, _limits);
        if (refusal is { Code: ErrorCode.Internal or ErrorCode.Unspecified } or { Message: "" })
            throw new FindingException($"The refusal has no reason: {refusal}");
        if (refusal is not null) return;
        Estimate estimate = ProgramCostEstimator.Estimate(program, ModelUnderTest.Model.Description);
        double cost = ProgramCostEstimator.ComputeCost(estimate);
        if (!(cost is >= 1 and < double.PositiveInfinity)) throw new FindingException($"The cost is {cost}: {estimate}");
        if (executePrograms && estimate.Tokens <= _limits.Tokens) Execute(program);
    }

    private static void Execute(Program program)
    {
        long before = torch.Tensor.TotalCount;
        using var late = new CancellationTokenSource(_timeout);
        try
        {
            using var job = new JobRun(Compiler.Compile(program, ModelUnderTest.Model), new NullRunSink(), cancellationToken: late.Token);
            Engine.ProgramEngine.Run(ModelUnderTest.Model, [job]);
            if (job.Error is { Code: ErrorCode.Internal or ErrorCode.Unspecified }) throw new FindingException($"Ended as {job.Error}");
        }
        catch (Exception e) when (Errors.FromException(e).Code is not (ErrorCode.Internal or ErrorCode.Unspecified))
        {
            // The compiler can refuse a program that the validator accepts.
        }
        if (torch.Tensor.TotalCount > before) throw new FindingException($"{torch.Tensor.TotalCount - before} tensors are left.");
    }

    private sealed class NullRunSink : IRunSink
    {
        public void OnValueSaved(uint node, string name, object? value, bool isFinal) { }

        public void OnLogged(uint node, string text) { }

        public Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout) => new() { Integer = 1 };

        public void OnWarning(uint node, string module, string message) { }

        public void OnTokenGenerated(NewToken token) { }
    }
}
