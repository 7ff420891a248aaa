using Ndif.Protocol;

namespace Ndif;

// The residual stream before, within and after a layer.
public partial class Envoy
{
    /// <summary>The residual stream that a layer reads: its input. [batch, seq, hidden]</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value ResidPre
    {
        get => Input;
        set => Input = value;
    }

    /// <summary>
    /// The residual stream after a layer's attention has added to it, which the mlp (through its norm) reads, and to which it adds. Where
    /// the stream itself is normalized after each addition, as in BERT, the stream after that norm. [batch, seq, hidden]
    /// </summary>
    /// <exception cref="BadProgramException">
    /// UNSUPPORTED: attention and mlp of the layer read the same stream (GPT-J, GPT-NeoX, Falcon, Phi, Cohere), so there is none between
    /// them; or the architecture has no standard name for it.
    /// </exception>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value ResidMid
    {
        get => MidOperation is { } operation ? operation.Output : Get(Residual.MidModule).Hidden;
        set
        {
            if (MidOperation is { } operation) operation.Output = value;
            else Get(Residual.MidModule).Hidden = value;
        }
    }

    /// <summary>The residual stream after a layer: its <see cref="Hidden"/>. [batch, seq, hidden]</summary>
    /// <exception cref="InvalidOperationException">No trace is open.</exception>
    public Value ResidPost
    {
        get => Hidden;
        set => Hidden = value;
    }

    /// <summary>How this layer adds to the residual stream.</summary>
    internal ResidualLayout Residual => Info.Residual ?? throw Errors.CreateException(ErrorCode.Unsupported,
        $"How `{Display}`, a {Info.ClassName}, adds to the residual stream is not known.",
        "ResidPre and ResidPost are those of any layer; for others print its Source, and use the operation or module that has the value.",
        Path);

    /// <summary>The module whose output attention adds to the stream (times a factor, in Granite); a norm, where one follows.</summary>
    internal Envoy AttentionContribution => Contribution(Residual.Attention);

    /// <summary>The module whose output the mlp adds to the stream.</summary>
    internal Envoy FeedforwardContribution => Contribution(Residual.Mlp);

    /// <summary>The module that returns what attention computes; BLOOM's adds the stream itself, so there it is the projection.</summary>
    internal Envoy AttentionOutput => PartOrModule(Info.Residual?.Attention, Model.Description.Names.Attention, Attn);

    /// <summary>The module that returns what the mlp computes, without the stream.</summary>
    internal Envoy FeedforwardOutput => PartOrModule(Info.Residual?.Mlp, Model.Description.Names.Mlp, Mlp);

    /// <summary>The module that the input of the mlp reaches first: OPT's mlp is no module of its own.</summary>
    internal Envoy FeedforwardInput => Mlp.Info.Mlp is null && Info.Mlp is { } layout ? Get(layout.Up.Module) : Mlp;

    private Envoy PartOrModule(string? part, string module, Envoy whole) =>
        part is not null && part.StartsWith($"{module}.", StringComparison.Ordinal) ? Get(part) : whole;

    private Envoy Contribution(string path) => path.Length > 0 ? Get(path) : throw Errors.CreateException(ErrorCode.Unsupported,
        $"What a part of `{Display}` adds to the residual stream is not the output of one module.",
        "It is a difference of ResidPre, ResidMid and ResidPost.", Path);

    /// <summary>The operation of this layer's forward that returns the stream after attention; null if it is a module's output.</summary>
    private Operation? MidOperation
    {
        get
        {
            if (Residual.Kind is ResidualKind.Parallel)
                throw Errors.CreateException(ErrorCode.Unsupported,
                    $"`{Display}` has no residual stream between attention and mlp: both read the same one (parallel residual).",
                    "Use ResidPre, which both read, or ResidPost.", Path);
            return Residual.MidOperation.Length > 0 ? Source[Residual.MidOperation] : null;
        }
    }
}
