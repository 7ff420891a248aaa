using Ndif.Engine.Kernels;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// PyTorch's categories of element types. A replacement of a model's value is converted to the element type of that value only within a
/// category (float32 to bfloat16, int32 to int64). Across categories a conversion would change the numbers, and in PyTorch the next
/// operation of the model fails; so the replacement is refused.
/// </summary>
/// <remarks>Type promotion: docs/source/tensor_attributes.rst of PyTorch.</remarks>
internal static class ElementCategories
{
    /// <summary>Checks that a replacement has the category of the value.</summary>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: it has another one.</exception>
    public static void Check(torch.ScalarType type, torch.ScalarType replacement, string site)
    {
        if (CategoryOf(type) == CategoryOf(replacement)) return;
        throw Errors.CreateException(ErrorCode.BadArgument,
            $"`{site}` is a tensor of {Describe.TypeName(type)} here; it cannot be replaced by one of {Describe.TypeName(replacement)}, "
            + "with which the model cannot continue.",
            $"Convert the replacement: `.To(DType.{type.ToData() ?? DType.Float32})`.");
    }

    /// <summary>Checks that a number can fill a value: it is not of a higher category, and so no part of it would be lost.</summary>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: it is of a higher category.</exception>
    public static void CheckNumber(torch.ScalarType type, object number, string site)
    {
        Category category = number switch { bool => Category.Bool, long => Category.Integer, _ => Category.FloatingPoint };
        if (category <= CategoryOf(type) || number is 0L or 1L) return;
        throw Errors.CreateException(ErrorCode.BadArgument,
            $"`{site}` is a tensor of {Describe.TypeName(type)} here; it cannot be filled with {Describe.Kind(number)}.",
            CategoryOf(type) is Category.Bool ? "Assign true or false." : "Assign a whole number.");
    }

    private static Category CategoryOf(torch.ScalarType type) =>
        type is torch.ScalarType.Bool ? Category.Bool
        : torch.is_complex(type) ? Category.Complex
        : torch.is_floating_point(type) ? Category.FloatingPoint
        : Category.Integer;

    /// <summary>In ascending order.</summary>
    private enum Category { Bool, Integer, FloatingPoint, Complex }
}
