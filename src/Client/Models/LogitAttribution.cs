namespace Ndif;

/// <summary>
/// What each part of a model contributes directly to a logit, or to the difference of two
/// (<see cref="LanguageModel.DirectLogitAttribution(string, string?, Index?)"/>). After the run, embedding, attentions, mlps and bias add
/// up to <see cref="Logit"/>, and the heads of a layer, with the bias of its output projection, to its attention.
/// </summary>
public sealed class LogitAttribution
{
    internal LogitAttribution(Value embed, Value attention, Value mlp, Value heads, Value bias, Value logit)
    {
        (Embed, Attention, Mlp) = (embed.Save(), attention.Save(), mlp.Save());
        (Heads, Bias, Logit) = (heads.Save(), bias.Save(), logit.Save());
    }

    /// <summary>The embedding of tokens and positions: the stream that the first layer reads. [batch]</summary>
    public Saved Embed { get; }

    /// <summary>The attention of each layer. [batch, layers]</summary>
    public Saved Attention { get; }

    /// <summary>The mlp of each layer. [batch, layers]</summary>
    public Saved Mlp { get; }

    /// <summary>Each head, without the bias of the output projection. [batch, layers, heads]</summary>
    public Saved Heads { get; }

    /// <summary>The biases of the final norm and of the output projection. [batch]</summary>
    public Saved Bias { get; }

    /// <summary>
    /// The logit, or the difference, as the output projection returns it: before the scaling and capping of some architectures. [batch]
    /// </summary>
    public Saved Logit { get; }
}
