using Google.Protobuf;
using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Tests;
using Ndif.Engine.Tests.Fuzz;
using Ndif.Protocol;
using Program = Ndif.Protocol.Program;
using Ndif.Server;
using TorchSharp;

namespace Ndif.Fuzz;

/// <summary>
/// A submission as the gateway takes it: decoded, validated against a model, priced. With <paramref name="runs"/>, what validates is
/// also compiled and run, and must end well or with a typed error, leaving no tensor behind.
/// </summary>
internal sealed class ProgramTarget(bool runs) : IFuzzTarget
{
    private static readonly ProgramLimits s_limits = new() { Nodes = 300, Nesting = 16, MessageBytes = 1 << 20, ConstantBytes = 1 << 20, Tokens = 512 };
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(2);

    public IEnumerable<byte[]> Seeds()
    {
        for (int seed = 0; seed < 60; seed++) yield return new RandomPrograms(ModelUnderTest.Subject, seed).Next().ToByteArray();
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
            return; // told as BAD_ARGUMENT
        }
        Error? refusal = ProgramValidator.Validate(program, ModelUnderTest.Subject.Description, s_limits);
        if (refusal is { Code: ErrorCode.Internal or ErrorCode.Unspecified } or { Message: "" }) throw new FindingException($"Refused without a reason: {refusal}");
        if (refusal is not null) return;
        Estimate estimate = Estimates.Of(program, ModelUnderTest.Subject.Description);
        if (!(Estimates.CostOf(estimate) is >= 1 and < double.PositiveInfinity)) throw new FindingException($"Priced at {Estimates.CostOf(estimate)}: {estimate}");
        if (runs && estimate.Tokens <= s_limits.Tokens) RunOn(program);
    }

    private static void RunOn(Program program)
    {
        long before = torch.Tensor.TotalCount;
        using var late = new CancellationTokenSource(s_patience);
        try
        {
            using var job = new JobRun(Compiler.Compile(program, ModelUnderTest.Subject), new Nowhere(), cancellation: late.Token);
            Engine.ProgramEngine.Run(ModelUnderTest.Subject, [job]);
            if (job.Error is { Code: ErrorCode.Internal or ErrorCode.Unspecified }) throw new FindingException($"Ended as {job.Error}");
        }
        catch (Exception e) when (Errors.Of(e).Code is not (ErrorCode.Internal or ErrorCode.Unspecified))
        {
            // compiling may refuse too
        }
        if (torch.Tensor.TotalCount > before) throw new FindingException($"{torch.Tensor.TotalCount - before} tensors are left.");
    }

    private sealed class Nowhere : IRunSink
    {
        public void Saved(uint node, string name, object? value) { }

        public void Logged(uint node, string text) { }

        public Data Ask(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout) => new() { Integer = 1 };

        public void Warned(uint node, string module, string message) { }

        public void Generated(NewToken token) { }
    }
}
