namespace Ndif;

// Products and decompositions.
public partial class Value
{
    /// <summary>PyTorch's <c>matmul(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value MatMul(Value other) => Record("matmul", [this, other]);

    /// <summary>PyTorch's <c>mm(Tensor self, Tensor mat2) -&gt; Tensor</c></summary>
    public Value Mm(Value mat2) => Record("mm", [this, mat2]);

    /// <summary>PyTorch's <c>bmm(Tensor self, Tensor mat2) -&gt; Tensor</c></summary>
    public Value Bmm(Value mat2) => Record("bmm", [this, mat2]);

    /// <summary>PyTorch's <c>mv(Tensor self, Tensor vec) -&gt; Tensor</c></summary>
    public Value Mv(Value vec) => Record("mv", [this, vec]);

    /// <summary>PyTorch's <c>dot(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value Dot(Value other) => Record("dot", [this, other]);

    /// <summary>PyTorch's <c>inner(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value Inner(Value other) => Record("inner", [this, other]);

    /// <summary>PyTorch's <c>outer(Tensor self, Tensor vec2) -&gt; Tensor</c></summary>
    public Value Outer(Value vec2) => Record("outer", [this, vec2]);

    /// <summary>PyTorch's <c>kron(Tensor self, Tensor other) -&gt; Tensor</c></summary>
    public Value Kron(Value other) => Record("kron", [this, other]);

    /// <summary>PyTorch's <c>cross(Tensor self, Tensor other, int dim=-1) -&gt; Tensor</c></summary>
    public Value Cross(Value other, Value? dim = null) => Record("cross", [this, other], ("dim", dim));

    /// <summary>PyTorch's <c>tensordot(Tensor self, Tensor other, Any dims=2) -&gt; Tensor</c></summary>
    public Value TensorDot(Value other, Value? dims = null) => Record("tensordot", [this, other], ("dims", dims));

    /// <summary>PyTorch's <c>addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -&gt; Tensor</c></summary>
    public Value AddMm(Value mat1, Value mat2, Value? beta = null, Value? alpha = null) => Record("addmm", [this, mat1, mat2], ("beta", beta), ("alpha", alpha));

    /// <summary>PyTorch's <c>addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -&gt; Tensor</c></summary>
    public Value AddMv(Value mat, Value vec, Value? beta = null, Value? alpha = null) => Record("addmv", [this, mat, vec], ("beta", beta), ("alpha", alpha));

    /// <summary>PyTorch's <c>baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -&gt; Tensor</c></summary>
    public Value BaddBmm(Value batch1, Value batch2, Value? beta = null, Value? alpha = null) => Record("baddbmm", [this, batch1, batch2], ("beta", beta), ("alpha", alpha));

    /// <summary>PyTorch's <c>trace(Tensor self) -&gt; Tensor</c></summary>
    public Value Trace() => Record("trace", [this]);

    /// <summary>PyTorch's <c>matrix_exp(Tensor self) -&gt; Tensor</c></summary>
    public Value MatrixExp() => Record("matrix_exp", [this]);
}

// Products and decompositions.
public static partial class Op
{
    /// <summary>PyTorch's <c>einsum(str equation, Tensor[] tensors) -&gt; Tensor</c></summary>
    public static Value Einsum(string equation, IEnumerable<Value> tensors) => Value.Record("einsum", [equation, tensors]);

    /// <summary>PyTorch's <c>cdist(Tensor x1, Tensor x2, float p=2.0) -&gt; Tensor</c></summary>
    public static Value CDist(Value x1, Value x2, Value? p = null) => Value.Record("cdist", [x1, x2], ("p", p));

    /// <summary>PyTorch's <c>linalg_norm(Tensor self, Any ord=None, int[]? dim=None, bool keepdim=False) -&gt; Tensor</c></summary>
    public static Value LinalgNorm(Value self, Value? ord = null, Ints? dim = null, bool keepdim = false) => Value.Record("linalg_norm", [self], ("ord", ord), ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>linalg_vector_norm(Tensor self, Scalar ord=2, int[]? dim=None, bool keepdim=False) -&gt; Tensor</c></summary>
    public static Value LinalgVectorNorm(Value self, Value? ord = null, Ints? dim = null, bool keepdim = false) => Value.Record("linalg_vector_norm", [self], ("ord", ord), ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>linalg_matrix_norm(Tensor self, Any ord='fro', int[] dim=[-2,-1], bool keepdim=False) -&gt; Tensor</c></summary>
    public static Value LinalgMatrixNorm(Value self, Value? ord = null, Ints? dim = null, bool keepdim = false) => Value.Record("linalg_matrix_norm", [self], ("ord", ord), ("dim", dim), ("keepdim", keepdim ? true : null));

    /// <summary>PyTorch's <c>linalg_svd(Tensor A, bool full_matrices=True) -&gt; (Tensor U, Tensor S, Tensor Vh)</c></summary>
    public static Value LinalgSvd(Value a, bool fullMatrices = true) => Value.Record("linalg_svd", [a], ("full_matrices", fullMatrices ? null : false));

    /// <summary>PyTorch's <c>linalg_svdvals(Tensor A) -&gt; Tensor</c></summary>
    public static Value LinalgSvdVals(Value a) => Value.Record("linalg_svdvals", [a]);

    /// <summary>PyTorch's <c>linalg_qr(Tensor A, str mode='reduced') -&gt; (Tensor Q, Tensor R)</c></summary>
    public static Value LinalgQr(Value a, string? mode = null) => Value.Record("linalg_qr", [a], ("mode", mode));

    /// <summary>PyTorch's <c>linalg_eigh(Tensor self, str UPLO='L') -&gt; (Tensor eigenvalues, Tensor eigenvectors)</c></summary>
    public static Value LinalgEigh(Value self, string? uplo = null) => Value.Record("linalg_eigh", [self], ("UPLO", uplo));

    /// <summary>PyTorch's <c>linalg_eigvalsh(Tensor self, str UPLO='L') -&gt; Tensor</c></summary>
    public static Value LinalgEigValsH(Value self, string? uplo = null) => Value.Record("linalg_eigvalsh", [self], ("UPLO", uplo));

    /// <summary>PyTorch's <c>linalg_cholesky(Tensor self) -&gt; Tensor</c></summary>
    public static Value LinalgCholesky(Value self) => Value.Record("linalg_cholesky", [self]);

    /// <summary>PyTorch's <c>linalg_inv(Tensor A) -&gt; Tensor</c></summary>
    public static Value LinalgInv(Value a) => Value.Record("linalg_inv", [a]);

    /// <summary>PyTorch's <c>linalg_pinv(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -&gt; Tensor</c></summary>
    public static Value LinalgPInv(Value self, Value? atol = null, Value? rtol = null, bool hermitian = false) => Value.Record("linalg_pinv", [self], ("atol", atol), ("rtol", rtol), ("hermitian", hermitian ? true : null));

    /// <summary>PyTorch's <c>linalg_solve(Tensor A, Tensor B) -&gt; Tensor</c></summary>
    public static Value LinalgSolve(Value a, Value b) => Value.Record("linalg_solve", [a, b]);

    /// <summary>PyTorch's <c>linalg_lstsq(Tensor self, Tensor b) -&gt; (Tensor solution, Tensor residuals, Tensor rank, Tensor singular_values)</c></summary>
    public static Value LinalgLstSq(Value self, Value b) => Value.Record("linalg_lstsq", [self, b]);

    /// <summary>PyTorch's <c>linalg_det(Tensor A) -&gt; Tensor</c></summary>
    public static Value LinalgDet(Value a) => Value.Record("linalg_det", [a]);

    /// <summary>PyTorch's <c>linalg_slogdet(Tensor A) -&gt; (Tensor sign, Tensor logabsdet)</c></summary>
    public static Value LinalgSLogDet(Value a) => Value.Record("linalg_slogdet", [a]);

    /// <summary>PyTorch's <c>linalg_matrix_rank(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -&gt; Tensor</c></summary>
    public static Value LinalgMatrixRank(Value self, Value? atol = null, Value? rtol = null, bool hermitian = false) => Value.Record("linalg_matrix_rank", [self], ("atol", atol), ("rtol", rtol), ("hermitian", hermitian ? true : null));

    /// <summary>PyTorch's <c>linalg_matrix_power(Tensor self, int n) -&gt; Tensor</c></summary>
    public static Value LinalgMatrixPower(Value self, Value n) => Value.Record("linalg_matrix_power", [self, n]);
}
