namespace Ndif.Models.Layers;

/// <summary>The dimensions of a head that one frequency rotates together, and the layout of cosines and sines.</summary>
public enum RotaryPairs
{
    /// <summary>Dimension i and dimension i + rotaryDim / 2, as in Llama.</summary>
    Halves,

    /// <summary>Dimensions 2i and 2i + 1; cosines and sines are laid out as for <see cref="Halves"/>, as in GLM.</summary>
    Adjacent,

    /// <summary>
    /// Dimensions 2i and 2i + 1, whose cosines and sines are adjacent too; queries and keys are rotated in float32, as in Cohere.
    /// </summary>
    AdjacentRepeated,

    /// <summary>Dimension i and dimension i + rotaryDim / 2, which share one cosine and one sine, as in gpt-oss.</summary>
    HalvesOnce,

    /// <summary>
    /// Dimensions 2i and 2i + 1 as a complex number, which one complex factor [batch, seq, rotaryDim/2] rotates, as in Llama 4.
    /// </summary>
    Complex,
}
