namespace Ndif;

/// <summary>How numbers become colours.</summary>
public enum ColorScale
{
    /// <summary><see cref="Diverging"/> if there are negative and positive numbers, otherwise <see cref="Sequential"/>.</summary>
    Auto,

    /// <summary>Viridis of matplotlib, from the smallest to the largest number: dark to light, also in greyscale and colour-blind.</summary>
    Sequential,

    /// <summary>ColorBrewer's RdBu, white at zero: red below, blue above, with equal strength for equal distance.</summary>
    Diverging,
}
