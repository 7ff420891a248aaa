using static TorchSharp.torch;

namespace Ndif.Engine.Kernels;

/// <summary>
/// matmul, composed of mm, bmm, mv and dot. THSTensor_matmul has no try/catch, so an argument that libtorch rejects (bool, another
/// device) would end the process; these four have one.
/// </summary>
internal static class MatrixProduct
{
    /// <param name="x">[..., n, k] or [k], checked by <see cref="KernelGuards.Matmul"/></param>
    /// <param name="y">[..., k, m] or [k]</param>
    public static Tensor Compute(Tensor x, Tensor y)
    {
        if (y.ndim == 1) return x.ndim == 1 ? x.dot(y) : x.ndim == 2 ? x.mv(y) : Compute(x, y.unsqueeze(1)).squeeze(-1);
        if (x.ndim == 1) return Compute(x.unsqueeze(0), y).squeeze(-2);
        long[] a = x.shape, b = y.shape;
        if (y.ndim == 2)
            return x.ndim == 2 ? x.mm(y)
                // one matrix for all rows
                : x.reshape(ShapeMath.ElementCount(a.AsSpan(0, a.Length - 1)), a[^1]).mm(y).reshape([.. a[..^1], b[^1]]);
        long[] batch = ShapeMath.Broadcast(a.AsSpan(0, a.Length - 2), b.AsSpan(0, b.Length - 2))!;
        long count = ShapeMath.ElementCount(batch);
        Tensor left = x.expand([.. batch, .. a[^2..]]).reshape(count, a[^2], a[^1]);       // [batch, n, k]
        Tensor right = y.expand([.. batch, .. b[^2..]]).reshape(count, b[^2], b[^1]);      // [batch, k, m]
        return left.bmm(right).reshape([.. batch, a[^2], b[^1]]);
    }
}
